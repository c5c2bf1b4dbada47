"""The Beam pipeline: shard specs in, finished shards and a ledger out.

```
ReadPlan -> Reshuffle(specs only) -> BuildShard -> rows -> WriteResults
```

Frames never cross an edge: elements are shard specs and ledger rows. BuildShard writes a
shard's files itself, in a child process per worker, because Beam's own file sinks permute and
empty shards from run to run.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines import storage
from pipelines.build_shard import ShardBuilder, plan_path, read_done, shard_key
from pipelines.config import BuildConfig
from pipelines.finish import PlanFacts, find_damaged_results, read_shard_rows, write_results
from pipelines.old_shard import Reuse
from pipelines.output_folder import save_plan, warn_about_other_versions
from pipelines.plan import ShardSpec, decode_settled, decode_specs
from pipelines.prepare import PreparedRun
from pipelines.runner import check_job, is_only_translated, job_errors, make_runner
from schemas.clip_record import Provenance
from schemas.errors import PrepError, ShardError
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow
from schemas.versions import software_text

METRICS_NAMESPACE = "perfnet_prep"


class BuildShardFn(beam.DoFn):  # type: ignore[misc]
    """Builds the shard of a spec; gives its ledger rows."""

    def __init__(
        self,
        config: BuildConfig,
        labels: LabelMap,
        provenance: Provenance,
        reuse: Reuse | None = None,
    ) -> None:
        super().__init__()
        self._arguments = (config, labels, provenance, reuse)
        self._builder: ShardBuilder | None = None

    def setup(self) -> None:
        """Make the builder; its child process starts with the first clip.

        Raises:
            ShardError: If this machine has other versions than the one that made the plan: every
                record would name the wrong ones.
        """
        if _local_errors is None:
            _check_software(self._arguments[2])
        self._builder = ShardBuilder(*self._arguments)

    def process(self, spec: ShardSpec) -> Iterator[LedgerRow]:
        """Yield the rows of a shard."""
        if self._builder is None:
            raise RuntimeError("setup() must run before process()")
        with _remembering_errors():
            result = self._builder.build(spec)
        if result.was_done:
            Metrics.counter(METRICS_NAMESPACE, "shards_already_done").inc()
        for row in result.rows:
            Metrics.counter(METRICS_NAMESPACE, f"outcome_{row.outcome.value}").inc()
            for stage, seconds in row.seconds.items():
                name = f"{stage}_milliseconds"
                Metrics.distribution(METRICS_NAMESPACE, name).update(round(1000 * seconds))
            yield row

    def teardown(self) -> None:
        """End the child process."""
        if self._builder is not None:
            self._builder.close()


def _check_software(provenance: Provenance) -> None:
    """Raise ShardError unless the records of this machine may name what the plan names."""
    here = software_text()
    if here != provenance.software:
        rule = "a worker must have the versions that the run was started with"
        way_out = "use an image with the same versions"
        raise ShardError(f"{rule} ({provenance.software}), got {here}; {way_out}")


class ReadPlan(beam.PTransform):  # type: ignore[misc]
    """Gives the shard specs of a plan file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, start: Any) -> Any:
        """From the start of a pipeline to its specs, spread over the workers."""
        return (
            start
            | "Path" >> beam.Create([self._path])
            | "Specs" >> beam.FlatMap(lambda path: decode_specs(_lines(path)))
            | "Spread" >> beam.Reshuffle()
        )


class BuildShards(beam.PTransform):  # type: ignore[misc]
    """Builds every shard; gives the ledger rows of their clips."""

    def __init__(self, run: PreparedRun) -> None:
        super().__init__()
        self._arguments = (run.config, run.labels, run.provenance, run.reuse)
        self._hints = resource_hints(run.config)

    def expand(self, specs: Any) -> Any:
        """From specs to ledger rows."""
        build_shard = beam.ParDo(BuildShardFn(*self._arguments))
        return specs | "BuildShard" >> build_shard.with_resource_hints(**self._hints)


def resource_hints(config: BuildConfig) -> dict[str, str]:
    """Return what a machine needs that builds shards, for runners that choose machines."""
    hints = {"min_ram": f"{config.workers * config.clip_memory_mib}MiB"}
    return hints | ({"accelerator": config.accelerator} if config.accelerator else {})


class WriteResults(beam.PTransform):  # type: ignore[misc]
    """Writes the ledger and everything else that needs all rows, once all shards are done.

    The rows are read again from the `done.json` of the shards: Beam would hold several copies.
    """

    def __init__(self, run: PreparedRun) -> None:
        super().__init__()
        self._facts = {
            "config": run.config,
            "labels": run.labels,
            "provenance": run.provenance,
            "plan": PlanFacts(run.plan.num_rows, len(run.plan.shards), run.plan.content_hash()),
        }
        self._output = run.config.output
        self._plan_path = plan_path(run.config.output)

    def expand(self, rows: Any) -> Any:
        """From the rows of all shards to the files of the output folder."""
        facts, path, output = self._facts, self._plan_path, self._output

        def write(_num_rows: int) -> dict[str, Any]:
            with _remembering_errors():
                rows = [*decode_settled(_lines(path)), *read_shard_rows(output)]
                return write_results(rows, **facts)  # type: ignore[arg-type]

        return rows | "AllRows" >> beam.combiners.Count.Globally() | "Write" >> beam.Map(write)


_local_errors: list[PrepError | OSError] | None = None
"""What ended the local run in this process, first things first; None on other runners.

Beam hands on the text of a traceback only.
"""


@contextmanager
def _remembering_errors() -> Iterator[None]:
    """Keep an error for the end of a local run; after the first, its other threads stop too."""
    if _local_errors:
        raise _local_errors[0]
    try:
        yield
    except (PrepError, OSError) as error:
        if _local_errors is not None:
            _local_errors.append(error)
        raise


@contextmanager
def _raising_first_error(*, is_local: bool) -> Iterator[None]:
    """Raise what ended a local run as it was; other runners' errors pass as they come."""
    global _local_errors  # noqa: PLW0603
    errors: list[PrepError | OSError] | None = [] if is_local else None
    _local_errors = errors
    try:
        yield
    except Exception:
        if errors:
            raise errors[0] from None
        raise
    finally:
        _local_errors = None


def _lines(path: str) -> Iterator[str]:
    """Lines of a file, by line feeds alone: a label may hold other line separators."""
    with storage.open_input(path) as file:
        remote: Any = file  # reads lines byte by byte
        with io.BufferedReader(remote, buffer_size=1 << 20) as lines:
            for line in lines:
                yield line.decode("utf-8")


def build(run: PreparedRun, *, options: PipelineOptions) -> dict[str, Any] | None:
    """Run the pipeline.

    Args:
        run: What to build, from `prepare_run`.
        options: Beam's own options, from `parse_beam_options`. Without a `--runner` the run is
            local and in memory: no engine is downloaded and no port is opened.

    Returns:
        The content of run.json; None if nothing ran: `--dry_run`, `--template_location`.

    Raises:
        ConfigError: If a place cannot be reached from the runner's machines.
    """
    runner = make_runner(options)
    check_job(run.config, options, runner)
    save_plan(run.config, run.plan)
    warn_about_other_versions(run.config.output, run.provenance.software)
    with (
        _raising_first_error(is_local=isinstance(runner, FnApiRunner)),
        job_errors(options),
        beam.Pipeline(runner=runner, options=options) as pipeline,
    ):
        (
            pipeline
            | "ReadPlan" >> ReadPlan(plan_path(run.config.output))
            | "BuildShards" >> BuildShards(run)
            | "WriteResults" >> WriteResults(run)
        )
    if is_only_translated(options):
        return None
    info: dict[str, Any] = storage.read_json(storage.join(run.config.output, "run.json"))
    return info


def is_complete(run: PreparedRun) -> bool:
    """Whether the output folder holds the finished result of exactly this run, undamaged."""
    config = run.config
    if find_damaged_results(config.output):
        return False
    for spec in run.plan.shards:
        key = shard_key(config, run.labels, run.provenance, spec)
        if read_done(config, spec, key) is None:
            return False
    info = storage.read_json(storage.join(config.output, "run.json"))
    return bool(info["plan_hash"] == run.plan.content_hash())
