"""Logits of teachers are computed once, and only reused for what they are of."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perfnet.training.checkpoint import load_checkpoint
from perfnet.training.distill import Teachers
from perfnet.training.distill_run import distill, make_distillation
from perfnet.training.teacher_cache import TeacherCache
from schemas.errors import ConfigError
from tests.perfnet.test_distill import config_of, make_teacher, one_thread  # noqa: F401

KEY = {"teachers": ["a"], "seed": 0}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("teachers")
    flow = make_teacher(folder / "flow.pt", "flow", seed=1)
    return flow, make_teacher(folder / "pose.pt", "pose", seed=2)


def _logits(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, number, 3, generator=torch.Generator().manual_seed(seed))


def test_what_was_added_is_found_after_saving(tmp_path: Path) -> None:
    cache, logits = TeacherCache(tmp_path, KEY), _logits(2)
    assert cache.find(["x", "y"], [0, 1]) is None
    cache.add(["x", "y"], [0, 1], logits)
    cache.save()
    again = TeacherCache(tmp_path, KEY)
    found = again.find(["y", "x"], [1, 0])
    assert found is not None
    assert torch.equal(found, logits[:, [1, 0]])
    assert again.find(["x", "y"], [0, 0]) is None
    assert again.has([("x", 0)])
    assert not again.has([("x", 0), ("x", 1)])
    assert len(again) == 2


def test_saving_twice_keeps_both_and_writes_nothing_twice(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path, KEY)
    cache.add(["x"], [0], _logits(1))
    cache.save()
    cache.add(["x", "y"], [0, 0], _logits(2, seed=1))
    cache.save()
    cache.save()
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    found = TeacherCache(tmp_path, KEY).find(["x", "y"], [0, 0])
    assert found is not None
    np.testing.assert_array_equal(found[:, 0], _logits(1)[:, 0])  # the first of x stays


def test_cache_of_other_teachers_is_refused(tmp_path: Path) -> None:
    TeacherCache(tmp_path, KEY)
    with pytest.raises(ConfigError, match="of the same teachers, shards, view and seed, got"):
        TeacherCache(tmp_path, {**KEY, "teachers": ["b"]})


def test_damaged_file_is_named(tmp_path: Path) -> None:
    TeacherCache(tmp_path, KEY)
    (tmp_path / "x.parquet").write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"got .*x.parquet: .*; delete that file"):
        TeacherCache(tmp_path, KEY)


def test_second_run_asks_no_teacher_and_learns_the_same(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    logits = Teachers.logits

    def counted(self: Teachers, batch: Any) -> torch.Tensor:
        calls.append(batch["clip_id"])
        return logits(self, batch)

    monkeypatch.setattr(Teachers, "logits", counted)
    options: dict[str, Any] = {"cache": tmp_path / "cache"}
    online = load_checkpoint(distill(config_of(shards, tmp_path / "online", teachers)))
    assert len(calls) == 4
    first = load_checkpoint(distill(config_of(shards, tmp_path / "first", teachers, **options)))
    assert len(calls) == 8
    config = config_of(shards, tmp_path / "second", teachers, **options)
    assert make_distillation(config).extra_modalities == ()  # nor are their streams loaded
    second = load_checkpoint(distill(config))
    assert len(calls) == 8
    for name, value in online.weights.items():
        assert torch.equal(first.weights[name], value)
        assert torch.equal(second.weights[name], value)
    longer = config_of(shards, tmp_path / "longer", teachers, steps=5, **options)
    assert make_distillation(longer).extra_modalities == ("flow", "pose")
    distill(longer)
    assert len(calls) == 9


@pytest.mark.parametrize("change", ["view", "seed", "teachers"])
def test_logits_of_another_view_seed_or_teacher_are_not_used(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path], change: str
) -> None:
    cache = tmp_path / "cache"
    make_distillation(config_of(shards, tmp_path / "run", teachers, cache=cache))
    options: dict[str, Any] = {"cache": cache}
    if change == "view":
        usual = config_of(shards, tmp_path, teachers).fit.view
        options["view"] = dataclasses.replace(usual, contrast=0.1)
    elif change == "seed":
        options["seed"] = 1
    chosen = teachers[:1] if change == "teachers" else teachers
    with pytest.raises(ConfigError, match="choose another folder"):
        make_distillation(config_of(shards, tmp_path / "run", chosen, **options))
