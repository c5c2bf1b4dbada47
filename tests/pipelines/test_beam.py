"""The pipeline's transforms under Beam's own test tools: rows, counters, a bug's path."""

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.testing import test_pipeline as beam_testing
from apache_beam.testing.util import assert_that, equal_to

import pipelines.build
from pipelines.build import METRICS_NAMESPACE, BuildShardFn, ReadPlan
from pipelines.build_shard import ShardResult, plan_path
from pipelines.config import BuildConfig
from pipelines.plan import ShardSpec, decode_specs
from schemas.clip_record import Provenance
from schemas.errors import ShardError
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome
from schemas.versions import software_text

pytestmark = pytest.mark.slow

CONFIG = BuildConfig(
    dataset="csv", annotations="rows.csv", videos="videos", split="all", output="out"
)
PROVENANCE = Provenance(config_hash="c", software=software_text(), pose_model="")


class _FakeBuilder:
    """Two rows per shard; the third shard has a bug."""

    def __init__(self, *_arguments: object) -> None:
        self.is_closed = False

    def build(self, spec: ShardSpec) -> ShardResult:
        if spec.shard == 2:
            raise TypeError("planted bug")
        outcomes = (Outcome.WRITTEN, Outcome.TIMEOUT)
        rows = tuple(
            LedgerRow(clip_id=f"{spec.shard}-{o.value}", outcome=o, seconds={"flow": 0.25})
            for o in outcomes
        )
        return ShardResult(rows=rows, was_done=spec.shard == 0)

    def close(self) -> None:
        self.is_closed = True


def _specs(*shards: int) -> list[ShardSpec]:
    return [ShardSpec(shard=shard, num_shards=3, tasks=()) for shard in shards]


def test_counters_equal_the_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.build, "ShardBuilder", _FakeBuilder)
    with beam_testing.TestPipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create(_specs(0, 1))
            | beam.ParDo(BuildShardFn(CONFIG, LabelMap(()), PROVENANCE))
            | beam.Map(lambda row: row.clip_id)
        )
        assert_that(rows, equal_to(["0-written", "0-timeout", "1-written", "1-timeout"]))
    metrics = pipeline.result.metrics().query(MetricsFilter().with_namespace(METRICS_NAMESPACE))
    counters = {each.key.metric.name: each.committed for each in metrics["counters"]}
    assert counters == {"outcome_written": 2, "outcome_timeout": 2, "shards_already_done": 1}
    [seconds] = metrics["distributions"]
    assert (seconds.key.metric.name, seconds.committed.count) == ("flow_milliseconds", 4)
    assert seconds.committed.sum == 1000


def test_bug_stops_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.build, "ShardBuilder", _FakeBuilder)

    def run() -> None:
        with beam_testing.TestPipeline() as pipeline:
            step = beam.ParDo(BuildShardFn(CONFIG, LabelMap(()), PROVENANCE))
            _ = pipeline | beam.Create(_specs(1, 2)) | step

    with pytest.raises(TypeError, match="planted bug"):
        run()


def test_plan_file_becomes_the_specs(built: Path) -> None:
    path = plan_path(str(built))
    expected = tuple(decode_specs(Path(path).read_text().splitlines()))
    with beam_testing.TestPipeline() as pipeline:
        assert_that(pipeline | ReadPlan(path), equal_to(list(expected)))
    assert sum(len(spec.tasks) for spec in expected) == 5


def test_elements_between_the_steps_stay_small(built: Path) -> None:
    for spec in decode_specs(Path(plan_path(str(built))).read_text().splitlines()):
        size = len(beam.coders.registry.get_coder(ShardSpec).encode(spec))
        assert size < 2000 * (1 + len(spec.tasks)), "frames must never cross an edge"


def test_worker_with_other_versions_stops_the_run() -> None:
    other = Provenance(config_hash="c", software="av=0 numpy=0", pose_model="")
    rule = r"versions that the run was started with \(av=0 numpy=0\), got .*av=.*same versions"
    with pytest.raises(ShardError, match=rule):
        BuildShardFn(CONFIG, LabelMap(()), other).setup()
