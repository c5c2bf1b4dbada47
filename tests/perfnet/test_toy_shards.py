"""Generated clips as output folders: what reads the pipeline's folders reads them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from perfnet import ShardDataset, ViewConfig
from perfnet.toy.config import ToyConfig
from perfnet.toy.scene import make_clip
from perfnet.toy.shards import write_toy
from pipelines.stats import collect_stats, open_outputs
from pipelines.verify import verify_output
from schemas.errors import ConfigError

SMALL = ToyConfig(
    num_classes=12, train_per_class=3, val_per_class=0, test_per_class=1, num_frames=6, size_px=32
)
VIEW = ViewConfig(num_frames=6, height=32, width=32, is_random=False, pose_source="stored")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy(SMALL, folder)
    return folder


def test_verify_calls_every_split_sound(output: Path) -> None:
    assert sorted(path.name for path in output.iterdir()) == ["test", "train"]
    for split, number in {"train": 36, "test": 12}.items():
        found = verify_output(str(output / split))
        assert found.problems == []
        assert found.num_records == 2 * number


def test_verify_sees_a_changed_shard(tmp_path: Path) -> None:
    folder = write_toy(SMALL, tmp_path)["test"]
    shard = next((folder / "tfrecord").glob("*00000-of-*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert verify_output(str(folder)).problems


def test_stats_count_its_clips(output: Path) -> None:
    stats = collect_stats(open_outputs([str(output / "train")]))
    assert stats.num_clips == 36
    assert set(stats.labels.values()) == {3}
    assert stats.flow is not None
    assert stats.flow.saturated_share < 0.001


def test_labels_are_balanced_and_clips_are_as_made(output: Path) -> None:
    data = ShardDataset(output / "train", modalities=("rgb", "flow", "pose"), view=VIEW)
    assert set(Counter(data.label_indices).values()) == {3}
    place = list(data.clip_ids).index("train-00013")
    sample, clip = data[place], make_clip(SMALL, "train-00013", 1)
    assert sample["label"] == 1
    assert np.abs(sample["rgb"].numpy().astype(int) - clip.frames).mean() < 4  # JPEG
    flow = (sample["flow"].numpy() / 127.5 - 1) * SMALL.flow_bound_px
    assert np.abs(flow - clip.flow).mean() < 0.1


def test_drawing_keypoints_gives_the_stored_pose(output: Path) -> None:
    stored = ShardDataset(output / "train", modalities=("pose",), view=VIEW)
    view = ViewConfig(num_frames=6, height=32, width=32, is_random=False)
    drawn = ShardDataset(output / "train", modalities=("pose",), view=view)
    for place in range(4):
        difference = drawn[place]["pose"].float() - stored[place]["pose"].float()
        assert difference.abs().mean() < 4  # JPEG before or after drawing


def test_equal_settings_give_equal_bytes(output: Path, tmp_path: Path) -> None:
    again = write_toy(SMALL, tmp_path)["test"]
    names = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len(names) > 6
    for name in names:
        assert (again / name).read_bytes() == (output / "test" / name).read_bytes(), name


def test_a_split_that_is_there_is_left_alone(output: Path) -> None:
    with pytest.raises(ConfigError, match=r"output must have no such split yet, got .*train"):
        write_toy(SMALL, output)


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".test.unfinished" / "parquet").mkdir(parents=True)
    (tmp_path / ".test.unfinished" / "parquet" / "stray.parquet").touch()
    config = ToyConfig(num_classes=3, train_per_class=0, val_per_class=0, test_per_class=1)
    assert verify_output(str(write_toy(config, tmp_path)["test"])).problems == []


def test_nothing_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be > 0, got 0"):
        write_toy(ToyConfig(train_per_class=0, val_per_class=0, test_per_class=0), tmp_path)
