"""Records that cannot be read: named, left out, or the end of a run."""

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from perfnet.errors import TrainingError
from perfnet.training.checkpoint import list_checkpoints, load_checkpoint
from perfnet.training.config import OptimizerConfig
from perfnet.training.fit import fit
from perfnet.training.schedule import ScheduleConfig
from schemas.clip_record import ClipRecord
from schemas.errors import ShardError
from tests.perfnet.training_runs import (
    assert_same_weights,
    changed,
    run,
    run_two_processes,
    tiny_fit,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_corrupt_record_stops_or_is_left_out_and_named(
    tmp_path: Path,
    records: list[ClipRecord],
    write_shards: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = replace(records[3], rgb=tuple(b"no jpeg" for _ in records[3].rgb))
    folder = write_shards([*records[:3], bad])
    with pytest.raises(ShardError, match="clip-03: failed: data must be a complete JPEG"):
        fit(tiny_fit(folder, tmp_path / "strict"))
    caplog.set_level(logging.WARNING, "perfnet_train")
    _, objective = run(tiny_fit(folder, tmp_path / "lenient", on_corrupt="skip"))
    assert "left out: clip-03" in caplog.text
    assert sorted(len(batch) for batch in objective.clips) == [1, 1, 2, 2]


def _unreadable(record: ClipRecord) -> ClipRecord:
    return replace(record, rgb=tuple(b"no jpeg" for _ in record.rgb))


def test_batch_without_any_clip_moves_nothing_by_itself(
    tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    folder = write_shards([records[0], _unreadable(records[3])])
    plain = OptimizerConfig(momentum=0.0, weight_decay=0.0)  # a gradient of 0 is no change
    options = {"on_corrupt": "skip", "batch_size": 1, "optimizer": plain, "log_every": 1}
    options |= {"checkpoint_every": 1, "keep_checkpoints": 9}
    config = tiny_fit(folder, tmp_path / "run", steps=6, **options)
    _, objective = run(config)
    assert {clip for batch in objective.clips for clip, _ in batch} == {"clip-00"}
    assert len(objective.clips) == 3  # one of two clips in each of three epochs
    paths = list_checkpoints(config.output / "checkpoints")
    states = [load_checkpoint(path) for path in paths]
    stood_still = [not changed(one, other) for one, other in pairwise(states)]
    assert len(states) == 6
    assert sum(stood_still) in (2, 3)  # the first step has nothing before it


def test_batch_without_any_clip_is_resumed_exactly(
    tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    folder = write_shards([*records[:2], _unreadable(records[3])])
    options = {"on_corrupt": "skip", "batch_size": 1, "accumulate": 2, "checkpoint_every": 1}
    schedule = ScheduleConfig(steps=6, warmup_steps=0, learning_rate=0.05)
    options["schedule"] = schedule
    whole, undisturbed = run(tiny_fit(folder, tmp_path / "whole", keep_checkpoints=9, **options))
    (tmp_path / "cut" / "checkpoints").mkdir(parents=True)
    third = "checkpoints/step-00000003.pt"
    (tmp_path / "cut" / third).write_bytes((tmp_path / "whole" / third).read_bytes())
    resumed, rest = run(tiny_fit(folder, tmp_path / "cut", **options))
    assert rest.losses == undisturbed.losses[-len(rest.losses) :]
    assert_same_weights(resumed, whole)


def test_shards_without_any_readable_clip_stop(
    tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    folder = write_shards([_unreadable(record) for record in records[:3]])
    with pytest.raises(TrainingError, match=r"a clip that can be read, got 4 .*last clip-0\d: "):
        fit(tiny_fit(folder, tmp_path / "run", on_corrupt="skip"))


@pytest.mark.slow
def test_process_without_a_readable_clip_keeps_in_step_with_the_other(
    tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    folder = write_shards([*records[:3], _unreadable(records[3])])
    ranks = run_two_processes(folder, tmp_path / "run", '{"batch_size": 1, "on_corrupt": "skip"}')
    assert sum(len(rank["clips"]) for rank in ranks) in (4, 5)  # 6 with one of 4 unreadable
    for name, value in ranks[0]["weights"].items():
        assert torch.equal(value, ranks[1]["weights"][name]), name
