"""Which pose options make an output another one."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import BuildConfig
from pose.backends import PoseConfig
from pose.backends.mediapipe import MediaPipeConfig
from pose.backends.onnx import OnnxConfig
from pose.smoothing import OneEuroConfig


def content(pose_backend: Any = "onnx", **pose: Any) -> str:
    config = BuildConfig(
        dataset="folder",
        videos="videos",
        split="all",
        output="out",
        pose_backend=pose_backend,
        pose=PoseConfig(**pose),
    )
    return config.content_hash()


def test_options_of_another_back_end_change_nothing() -> None:
    assert content(mediapipe=MediaPipeConfig(max_people_per_tile=1)) == content()
    assert content("mediapipe", onnx=OnnxConfig(provider="cuda")) == content("mediapipe")


def test_where_a_model_lies_changes_nothing_as_its_hash_counts() -> None:
    assert content(onnx=OnnxConfig(detector="a.onnx", estimator="b.onnx")) == content()
    assert content("mediapipe", model=Path("a.task")) == content("mediapipe")


@pytest.mark.parametrize(
    "changes",
    [
        {"max_people": 3},
        {"smooth": True},
        {"fill_gaps": 8},
        {"onnx": OnnxConfig(provider="cuda")},
        {"onnx": OnnxConfig(estimator_spec="rtmo-640")},
    ],
)
def test_what_changes_poses_changes_the_hash(changes: dict[str, Any]) -> None:
    assert content(**changes) != content()


def test_the_filter_counts_only_where_it_is_used() -> None:
    other = OneEuroConfig(cutoff=0.5)
    assert content(one_euro=other) == content()
    assert content(one_euro=other, smooth=True) != content(smooth=True)
