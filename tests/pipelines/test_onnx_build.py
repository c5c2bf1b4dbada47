"""Builds with models in ONNX files: loaded in the children, the same bytes for any workers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.finished_output import open_output
from schemas.ledger import read_ledger

pytestmark = pytest.mark.slow


@pytest.fixture
def onnx_arguments(
    build_arguments: Callable[..., list[str]], save_constant: Any, save_dot_finder: Any
) -> Callable[..., list[str]]:
    """Gives the arguments of a build whose detector sees one person in the middle."""
    box = np.array([[[160, 80, 480, 400, 0.9]]], np.float32)
    detector = save_constant(box, height=640, width=640)
    estimator = save_dot_finder(height=256, width=192)

    def arguments(output: Path, *extra: str) -> list[str]:
        given = build_arguments(output)
        place = given.index("--pose.poses")
        del given[place : place + 2]
        given[given.index("precomputed")] = "onnx"
        return [
            *given,
            *("--pose.onnx.detector", str(detector)),
            *("--pose.onnx.detector-spec", "detections-640"),
            *("--pose.onnx.estimator", str(estimator)),
            *("--pose.onnx.estimator-spec", "heatmap-256x192"),
            *extra,
        ]

    return arguments


def test_children_give_the_same_bytes_under_little_memory_for_any_workers(
    onnx_arguments: Callable[..., list[str]],
    snapshot: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    low = ("--clip-memory-mib", "512")
    assert main(onnx_arguments(tmp_path / "one", *low)) == 0
    assert main(onnx_arguments(tmp_path / "two", *low, "--workers", "2")) == 0
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    for each in (one, two):
        each.pop("run.json")  # the number of workers stands in it
    assert one == two
    with (tmp_path / "one" / "ledger.parquet").open("rb") as file:
        written = [row for row in read_ledger(file) if row.is_in_shard]
    assert written
    assert all(row.num_people >= 1 and row.pose_coverage == 1 for row in written)
    assert "poses by onnx" in caplog.text
    assert "COCO AP not measured" in caplog.text
    assert open_output(str(tmp_path / "one")) is not None


def test_a_model_that_cannot_be_used_ends_with_status_2_before_work_starts(
    onnx_arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = onnx_arguments(tmp_path / "out")
    arguments[arguments.index("heatmap-256x192")] = "yolox-416"
    assert main(arguments) == 2
    assert "estimator must be a model of poses" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
