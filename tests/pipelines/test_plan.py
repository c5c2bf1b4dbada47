"""Which shard holds which clip, and what is settled before any video is opened."""

import pytest

from pipelines.plan import Plan, decode_settled, decode_specs, encode_plan, plan_shards
from schemas.clip import AnnotationTable, Clip, RejectedRow
from schemas.labels import sorted_label_map
from schemas.outcome import Outcome


def _clip(name: str, label: str | None = "x") -> Clip:
    return Clip(
        clip_id=name,
        dataset="csv",
        split="all",
        label_text=label,
        media_id=name,
        relative_path=f"{name}.mp4",
        start_seconds=None,
        end_seconds=None,
        source=f"rows.csv:{name}",
    )


def _table(names: list[str], rejected: tuple[RejectedRow, ...] = ()) -> AnnotationTable:
    clips = tuple(_clip(name, "xy"[index % 2]) for index, name in enumerate(names))
    return AnnotationTable(clips=clips, rejected=rejected, labels=sorted_label_map("xy"))


def _shard_ids(plan: Plan) -> list[list[str]]:
    return [[task.clip.clip_id for task in spec.tasks] for spec in plan.shards]


NAMES = [f"clip{number}" for number in range(50)]
SIZES = {f"{name}.mp4": 100 for name in NAMES}


def test_every_row_is_in_one_shard_or_settled() -> None:
    rejected = (RejectedRow(clip_id="dup", source="r:1", outcome=Outcome.DUPLICATE, detail="d"),)
    sizes = {name: size for name, size in SIZES.items() if name != "clip7.mp4"}
    plan = plan_shards(_table(NAMES, rejected), sizes, num_shards=4, limit=None)
    placed = [clip_id for shard in _shard_ids(plan) for clip_id in shard]
    assert sorted(placed) == sorted(set(NAMES) - {"clip7"})
    assert {row.clip_id: row.outcome for row in plan.settled} == {
        "clip7": Outcome.MISSING,
        "dup": Outcome.DUPLICATE,
    }
    assert plan.num_rows == 51


def test_order_of_the_rows_changes_nothing() -> None:
    table, turned = _table(NAMES), _table(NAMES)
    turned = AnnotationTable(clips=turned.clips[::-1], rejected=(), labels=turned.labels)
    plans = [plan_shards(each, SIZES, num_shards=4, limit=None) for each in (table, turned)]
    assert plans[0] == plans[1]


def test_clips_of_a_shard_are_sorted() -> None:
    plan = plan_shards(_table(NAMES), SIZES, num_shards=3, limit=None)
    assert all(ids == sorted(ids) for ids in _shard_ids(plan))
    assert all(ids for ids in _shard_ids(plan)), "50 clips must reach all 3 shards"


def test_limit_takes_the_first_clips_of_the_file() -> None:
    plan = plan_shards(_table(NAMES), SIZES, num_shards=2, limit=3)
    assert sorted(name for ids in _shard_ids(plan) for name in ids) == ["clip0", "clip1", "clip2"]


def test_label_indices_follow_the_label_map() -> None:
    table = AnnotationTable(
        clips=(_clip("clip0", "y"), _clip("clip1", None)),
        rejected=(),
        labels=sorted_label_map("xy"),
    )
    plan = plan_shards(table, SIZES, num_shards=1, limit=None)
    assert [task.label_index for task in plan.shards[0].tasks] == [1, -1]


def test_missing_detail_names_what_was_looked_for() -> None:
    plan = plan_shards(_table(["gone"]), SIZES, num_shards=1, limit=None)
    assert plan.settled[0].detail == "no file of the video folder is gone.mp4 or gone.*"


def test_name_that_is_not_utf8_can_be_written() -> None:
    row = RejectedRow(
        clip_id="", source="a/\udce9.mp4", outcome=Outcome.BAD_ANNOTATION, detail="\udce9"
    )
    plan = plan_shards(_table([], (row,)), {}, num_shards=1, limit=None)
    assert encode_plan(plan).encode("utf-8")
    assert (plan.settled[0].source, plan.settled[0].detail) == ("a/\\udce9.mp4", "\\udce9")


@pytest.mark.parametrize("num_shards", [1, 5])
def test_plan_file_gives_back_the_plan(num_shards: int) -> None:
    rejected = (RejectedRow(clip_id="ü", source="r:1", outcome=Outcome.DUPLICATE, detail="é\n"),)
    plan = plan_shards(_table([*NAMES, "gone"], rejected), SIZES, num_shards=num_shards, limit=None)
    text = encode_plan(plan)
    assert text.count("\n") == num_shards + 1
    lines = text.splitlines()
    assert (tuple(decode_specs(lines)), decode_settled(lines)) == (plan.shards, plan.settled)
