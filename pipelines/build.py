"""The Beam pipeline: shard specs in, finished shards and a ledger out.

```
ReadPlan -> Reshuffle(specs only) -> BuildShard -> rows -> WriteResults
```

Frames never cross an edge: elements are shard specs and ledger rows. BuildShard writes a
shard's files itself, in a child process per worker, because Beam's own file sinks permute and
empty shards from run to run.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines import storage
from pipelines.build_shard import ShardBuilder, read_done, shard_key
from pipelines.config import BuildConfig
from pipelines.finish import write_results
from pipelines.plan import ShardSpec, decode_plan
from pipelines.prepare import PreparedRun, plan_path, save_plan
from schemas.clip_record import Provenance
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow

METRICS_NAMESPACE = "perfnet_prep"


class BuildShardFn(beam.DoFn):  # type: ignore[misc]
    """Builds the shard of a spec; gives its ledger rows."""

    def __init__(self, config: BuildConfig, labels: LabelMap, provenance: Provenance) -> None:
        super().__init__()
        self._arguments = (config, labels, provenance)
        self._builder: ShardBuilder | None = None

    def setup(self) -> None:
        """Make the builder; its child process starts with the first clip."""
        self._builder = ShardBuilder(*self._arguments)

    def process(self, spec: ShardSpec) -> Iterator[LedgerRow]:
        """Yield the rows of a shard."""
        if self._builder is None:
            raise RuntimeError("setup() must run before process()")
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
            | "Specs" >> beam.FlatMap(lambda path: decode_plan(_lines(path)).shards)
            | "Spread" >> beam.Reshuffle()
        )


class BuildShards(beam.PTransform):  # type: ignore[misc]
    """Builds every shard; gives the ledger rows of their clips."""

    def __init__(self, run: PreparedRun) -> None:
        super().__init__()
        self._arguments = (run.config, run.labels, run.provenance)

    def expand(self, specs: Any) -> Any:
        """From specs to ledger rows."""
        build_shard = beam.ParDo(BuildShardFn(*self._arguments))
        return specs | "BuildShard" >> build_shard.with_resource_hints(min_ram="2GB")


class WriteResults(beam.PTransform):  # type: ignore[misc]
    """Writes the ledger and everything else that needs all rows."""

    def __init__(self, run: PreparedRun) -> None:
        super().__init__()
        self._facts = {
            "config": run.config,
            "labels": run.labels,
            "provenance": run.provenance,
            "num_rows": run.plan.num_rows,
            "num_shards": len(run.plan.shards),
        }
        self._plan_path = plan_path(run.config.output)

    def expand(self, rows: Any) -> Any:
        """From the rows of all shards to the files of the output folder."""
        facts, path = self._facts, self._plan_path

        def write(shard_rows: Iterable[LedgerRow]) -> dict[str, Any]:
            settled = decode_plan(_lines(path)).settled
            return write_results([*settled, *shard_rows], **facts)  # type: ignore[arg-type]

        return rows | "AllRows" >> beam.combiners.ToList() | "Write" >> beam.Map(write)


def _lines(path: str) -> list[str]:
    return storage.read_text(path).splitlines()


def build(run: PreparedRun, *, beam_options: list[str]) -> dict[str, Any]:
    """Run the pipeline.

    Args:
        run: What to build, from `prepare_run`.
        beam_options: Beam's own options. Without a `--runner` the run is local and in memory:
            no engine is downloaded and no port is opened.

    Returns:
        The content of run.json.
    """
    save_plan(run)
    options = PipelineOptions(
        beam_options or [f"--direct_num_workers={run.config.workers}"], save_main_session=False
    )
    runner = None
    if options.get_all_options()["runner"] is None:
        runner = FnApiRunner()
        # It advises modes that open ports; the parallel work here is done by child processes.
        logging.getLogger(FnApiRunner.__module__).setLevel(logging.ERROR)
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        (
            pipeline
            | "ReadPlan" >> ReadPlan(plan_path(run.config.output))
            | "BuildShards" >> BuildShards(run)
            | "WriteResults" >> WriteResults(run)
        )
    info: dict[str, Any] = storage.read_json(storage.join(run.config.output, "run.json"))
    return info


def is_complete(run: PreparedRun) -> bool:
    """Whether the output folder holds the finished result of exactly this run."""
    config = run.config
    if not storage.exists(storage.join(config.output, "COMPLETED")):
        return False
    for spec in run.plan.shards:
        done = read_done(config, spec)
        key = shard_key(config, run.labels, run.provenance, spec)
        if done is None or done["key"] != key:
            return False
    info = storage.read_json(storage.join(config.output, "run.json"))
    return info is not None and info["num_rows"] == run.plan.num_rows
