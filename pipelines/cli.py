"""The command line `perfnet-prep`: build, verify, models."""

import logging
import sys
import time
from dataclasses import dataclass
from typing import Literal

import tyro

from pipelines.config import BuildConfig
from schemas.errors import ConfigError, PrepError

DONE, DATA_FAILED, USAGE_ERROR = 0, 1, 2
"""Exit statuses: all well; data failed (too many clips, damaged shards, a full disk); nothing
was started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyOptions:
    """Check a finished output folder: checksums, counts, frames, labels."""

    output: tyro.conf.Positional[str]
    """Output folder of `perfnet-prep build`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsOptions:
    """Fetch pose models, or list them."""

    action: tyro.conf.Positional[Literal["fetch", "list"]]
    """`fetch` downloads the models that are missing; `list` shows what is there."""


Command = BuildConfig | VerifyOptions | ModelsOptions
COMMANDS: dict[str, type[Command]] = {
    "build": BuildConfig,
    "verify": VerifyOptions,
    "models": ModelsOptions,
}
USAGE = """usage: perfnet-prep COMMAND ...

  build   turn annotated videos into shards of RGB, optical flow and rendered pose
  verify  check a finished output folder
  models  fetch or list the pose models

`perfnet-prep COMMAND --help` lists the options of a command.
"""


def main(argv: list[str]) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; what follows `--` goes to Apache Beam.

    Returns:
        0 done; 1 data failed; 2 usage or configuration error.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger().addFilter(_is_worth_saying)
    if not argv or argv[0] not in COMMANDS:
        is_help = argv[:1] in (["-h"], ["--help"])
        (sys.stdout if is_help else sys.stderr).write(USAGE)
        return DONE if is_help else USAGE_ERROR
    split = argv.index("--") if "--" in argv else len(argv)
    options, beam_options = argv[1:split], argv[split + 1 :]
    try:
        command = tyro.cli(COMMANDS[argv[0]], prog=f"perfnet-prep {argv[0]}", args=options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE_ERROR
    return _run(command, beam_options)


def _run(command: Command, beam_options: list[str]) -> int:
    """Run a command; say what went wrong in one line if it was not our fault."""
    try:
        if isinstance(command, BuildConfig):
            return _build(command, beam_options)
        return _verify(command) if isinstance(command, VerifyOptions) else _models(command)
    except (PrepError, OSError) as error:
        sys.stderr.write(f"perfnet-prep: {error}\n")
        return USAGE_ERROR if isinstance(error, ConfigError) else DATA_FAILED


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Beam warns on import that its Google Cloud extra is not installed: not an error here."""
    return not record.getMessage().startswith("apitools not found")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _build(config: BuildConfig, beam_options: list[str]) -> int:
    from pipelines.build import build, is_complete
    from pipelines.output_folder import claim_output
    from pipelines.prepare import prepare_run
    from pipelines.progress import show_progress
    from pipelines.storage import join, read_json

    start = time.monotonic()
    run = prepare_run(config)
    with claim_output(config.output):
        if is_complete(run):
            _say(f"nothing to do: {config.output} is complete")
            info = read_json(join(config.output, "run.json"))
        else:
            num_clips = run.plan.num_rows - len(run.plan.settled)
            with show_progress(num_clips):
                info = build(run, beam_options=beam_options)
    seconds = time.monotonic() - start
    counts = ", ".join(f"{number} {outcome}" for outcome, number in info["counts"].items())
    rate = info["num_rows"] / seconds
    _say(f"{info['num_rows']} rows: {counts}; {seconds:.1f} s, {rate:.2f} rows/s")
    _say(f"result in {config.output}")
    fraction = info["failed_fraction"]
    if fraction > config.max_failed_fraction:
        sys.stderr.write(
            f"perfnet-prep: failed share of the rows must be <= {config.max_failed_fraction:g} "
            f"(max_failed_fraction), got {fraction:.3f}; see the column `detail` of "
            f"{join(config.output, 'ledger.parquet')}\n"
        )
        return DATA_FAILED
    return DONE


def _verify(options: VerifyOptions) -> int:
    from pipelines.verify import verify_output

    found = verify_output(options.output)
    for problem in found.problems:
        _say(problem)
    verdict = f"{len(found.problems)} problems" if found.problems else "sound"
    _say(f"{options.output}: {verdict}; {found.num_records} records, {found.num_images} images")
    return DATA_FAILED if found.problems else DONE


def _models(options: ModelsOptions) -> int:
    from pose.assets import fetch_asset, list_assets

    if options.action == "fetch":
        for row in list_assets():
            fetch_asset(row.asset.name, progress=_say)
    for row in list_assets():
        state = str(row.path) if row.is_fetched else "not fetched; run: perfnet-prep models fetch"
        _say(f"{row.asset.name} {row.asset.version} ({row.asset.licence}): {state}")
    return DONE
