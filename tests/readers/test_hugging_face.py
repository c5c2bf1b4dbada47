"""Hugging Face `datasets` reads the Parquet shard: PIL frames and class labels."""

import warnings
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def load(shards: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load the shard without any network, streaming or not."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")

    def run(*, streaming: bool) -> Any:
        datasets.disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return datasets.load_dataset(
                "parquet",
                data_files={"train1": str(shards.parquet)},
                cache_dir=str(tmp_path / "cache"),
                split="train1",
                streaming=streaming,
            )

    return run


@pytest.mark.parametrize("streaming", [False, True])
def test_frames_are_pil_images(streaming: bool, load: Any, shards: Any) -> None:
    rows = list(load(streaming=streaming))
    assert [row["clip_id"] for row in rows] == ["clip_a", "clip_é"]
    for row, record in zip(rows, shards.records, strict=True):
        for name, mode in (
            ("rgb", "RGB"),
            ("pose_overlay", "RGB"),
            ("flow_x", "L"),
            ("flow_y", "L"),
        ):
            frames = row[name]
            assert [frame.size for frame in frames] == [(48, 32)] * record.num_frames
            assert {frame.mode for frame in frames} == {mode}
        red, green, blue = row["rgb"][1].getpixel((5, 5))
        assert abs(red - 50) + abs(green - 90) + abs(blue - 200) < 12


@pytest.mark.parametrize("streaming", [False, True])
def test_label_is_a_class_label(streaming: bool, load: Any, shards: Any) -> None:
    table = load(streaming=streaming)
    label = table.features["label"]
    assert type(label).__name__ == "ClassLabel"
    assert tuple(label.names) == shards.labels.texts
    assert [label.int2str(row["label"]) for row in table] == ["YoYo", "ApplyEyeMakeup"]


def test_keypoints_are_nested_lists(load: Any) -> None:
    row = load(streaming=False)[0]
    assert [len(frame) for frame in row["keypoints"]] == [0, 1, 1]
    assert row["keypoints"][1][0][:3] == [10.0, 10.0, 0.5]
