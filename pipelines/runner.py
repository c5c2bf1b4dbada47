"""Beam's options, the runner that they name, and what that runner can reach."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    TestOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners import common, create_runner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines import storage
from pipelines.config import BuildConfig
from pipelines.remote_errors import as_system_errors
from schemas.errors import ConfigError, ShardError


def parse_beam_options(flags: list[str]) -> PipelineOptions:
    """Return Beam's options.

    Args:
        flags: `--name=value` as Beam documents them; the later one of a name counts.

    Raises:
        ConfigError: If Beam does not know an option or refuses its value.
    """
    parser = argparse.ArgumentParser(prog="Beam options", exit_on_error=False, add_help=False)
    for group in PipelineOptions.__subclasses__():
        with suppress(argparse.ArgumentError):  # some options stand in two groups
            group._add_argparse_args(parser)  # noqa: SLF001 - Beam's hook for option groups
    try:
        _, unknown = parser.parse_known_args(flags)
    except (argparse.ArgumentError, SystemExit) as error:
        raise ConfigError(f"Beam options must be valid, got {' '.join(flags)}: {error}") from None
    if unknown:
        raise ConfigError(f"Beam options must be known to Beam, got {' '.join(unknown)}")
    return PipelineOptions(flags, save_main_session=False)


def make_runner(options: PipelineOptions) -> Any:
    """Return the runner that the options name; the local one in memory if they name none.

    Raises:
        ConfigError: If there is no such runner.
    """
    name = options.view_as(StandardOptions).runner
    if is_dataflow(options):  # the state of the job and its errors, as they come
        logging.getLogger("apache_beam.runners.dataflow.dataflow_runner").setLevel(logging.INFO)
    if name is None:
        # It advises modes that open ports; the parallel work here is done by child processes.
        logging.getLogger(FnApiRunner.__module__).setLevel(logging.ERROR)
        # It logs the traceback of what is raised anyway, as one line to a user.
        logging.getLogger(common.__name__).setLevel(logging.CRITICAL)
        return FnApiRunner()
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(
            f"--runner must be a runner that Beam has, got {name}: {error}"
        ) from error


def is_only_translated(options: PipelineOptions) -> bool:
    """Whether Dataflow's runner makes a job description and starts nothing."""
    is_template = bool(options.view_as(GoogleCloudOptions).template_location)
    return is_dataflow(options) and (options.view_as(TestOptions).dry_run or is_template)


def set_children_per_machine(options: PipelineOptions, number: int) -> None:
    """Let every machine of Dataflow work on so many clips at a time, unless the options say.

    Left alone it starts a process for every core, and twelve threads in each: every thread would
    have a child process of its own.

    Args:
        options: Beam's options; changed.
        number: Child processes for each machine, as --workers has it.
    """
    if not is_dataflow(options):
        return
    debug = options.view_as(DebugOptions)
    if debug.number_of_worker_harness_threads is None:
        debug.number_of_worker_harness_threads = number
    if not debug.lookup_experiment("use_multiple_sdk_containers"):
        debug.add_experiment("no_use_multiple_sdk_containers")


def check_job(config: BuildConfig, options: PipelineOptions, runner: Any) -> None:
    """Raise ConfigError for options that a runner refuses, and places that it cannot reach.

    Args:
        config: What is to be built.
        options: Beam's options.
        runner: From `make_runner`.
    """
    if is_dataflow(options):
        _check_places(config, options.view_as(GoogleCloudOptions))
    problems = PipelineOptionsValidator(options, runner).validate()
    if problems:
        raise ConfigError(f"Beam options must be complete and valid, got: {' '.join(problems)}")


def _check_places(config: BuildConfig, google: GoogleCloudOptions) -> None:
    """Raise ConfigError unless all machines reach all places.

    Before Beam looks: it makes a bucket of its own where `--temp_location` is not remote.
    """
    places = {
        "videos": config.videos,
        "output": config.output,
        "reuse": config.reuse,
        "--temp_location": google.temp_location,
        "--staging_location": google.staging_location,
    }
    for field, path in places.items():
        if path and not storage.is_remote(path):
            rule = "must be a remote path (gs://...) with --runner=DataflowRunner"
            raise ConfigError(f"{field} {rule}, got {path}")


@contextmanager
def job_errors(options: PipelineOptions) -> Iterator[None]:
    """Raise what Dataflow says of a job as one line; what is raised elsewhere passes as it is.

    Raises:
        ShardError: If the job failed.
        OSError: If Dataflow or the staging bucket cannot be reached, or refuses.
    """
    if not is_dataflow(options):
        yield
        return
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException

    google = options.view_as(GoogleCloudOptions)
    with as_system_errors(f"Dataflow in {google.project}, {google.region}"):
        try:
            yield
        except DataflowRuntimeException as error:
            rule = "Dataflow job must end well"
            way_out = "once that is mended, the same command goes on where it stopped"
            reason = " ".join(str(error).split())
            raise ShardError(f"{rule}, got: {reason}; {way_out}") from error


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the work is done by Google Cloud Dataflow."""
    return "dataflow" in (options.view_as(StandardOptions).runner or "").lower()
