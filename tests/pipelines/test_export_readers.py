"""mmaction2's own data sets read the exports; it runs in an environment of its own."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.finished_output import open_output
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

READERS = Path(__file__).parents[1] / "readers"


@pytest.fixture(scope="module")
def mmaction2_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with mmaction2, or a skip that says why there is none."""
    pytest.importorskip("torch", reason="mmaction2 needs torch")
    if sys.version_info >= (3, 13):
        pytest.skip("mmaction2 needs numpy 1, which Python 3.13 and newer do not have")
    folder = tmp_path_factory.mktemp("mmaction2") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    requirements = str(READERS / "mmaction2_requirements.txt")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--retries", "1"]
    install = [*pip, "install", "--no-deps", "--no-compile", "--requirement", requirements]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mmaction2 cannot be installed here: {done.stderr.strip()[-300:]}")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    # Behind the environment's own packages: torch is large, and the tests have one already.
    (packages / "torch_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def read(
    mmaction2_python: Path, two_splits: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """What mmaction2 read: by split, data set and clip."""
    folder = tmp_path_factory.mktemp("exports")
    frames, skeletons = folder / "frames", folder / "skeletons"
    everything = ("--modalities", "rgb", "flow", "pose")
    assert main(["export", "mmaction2", *map(str, two_splits), str(frames), *everything]) == 0
    assert main(["export", "pyskl", *map(str, two_splits), str(skeletons)]) == 0
    script = str(READERS / "read_with_mmaction2.py")
    command = [str(mmaction2_python), "-W", "ignore", script, str(frames), str(skeletons)]
    done = subprocess.run([*command, "train", "val"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout.splitlines()[-1])
    return {
        split: {name: {clip["name"]: clip for clip in clips} for name, clips in streams.items()}
        for split, streams in splits.items()
    }


def test_lists_name_every_clip_with_its_count_and_label(read: dict[str, Any]) -> None:
    for stream in ("rgb", "flow", "pose"):
        for split, labels in (
            ("train", {"-dash": 0, "sub_two__blanks": 1}),
            ("val", {"both": 0, "lone": 1}),
        ):
            clips = read[split][stream]
            assert {name: each["label"] for name, each in clips.items()} == labels
            assert {each["total_frames"] for each in clips.values()} == {12}


@pytest.mark.parametrize(
    ("stream", "fields"),
    [("rgb", ("rgb",)), ("pose", ("pose_overlay",)), ("flow", ("flow_x", "flow_y"))],
)
def test_frames_are_the_stored_ones_in_their_order(
    read: dict[str, Any], two_splits: tuple[Path, Path], stream: str, fields: tuple[str, ...]
) -> None:
    record = open_output(str(two_splits[0])).read_record("-dash")
    columns = [[decode_jpeg(jpeg) for jpeg in getattr(record, field)] for field in fields]
    expected = np.stack([np.dstack(images) for images in zip(*columns, strict=True)])
    got = read["train"][stream]["-dash"]
    assert got["shape"] == list(expected.shape)
    np.testing.assert_allclose(got["means"], expected.mean(axis=(1, 2, 3)), atol=0.5)


def test_skeletons_become_heat_maps_and_graphs(read: dict[str, Any]) -> None:
    for split, name in (("train", "-dash"), ("train", "two  blanks"), ("val", "both")):
        heatmaps, graph = read[split]["heatmaps"][name], read[split]["graph"][name]
        assert heatmaps["shape"] == [1, 17, 4, 56, 56]
        assert heatmaps["max"] == pytest.approx(0.9, abs=0.06)
        assert graph["shape"] == [1, 2, 4, 17, 3]
        assert graph["max"] == pytest.approx(0.9, abs=0.01)


def test_clip_without_people_is_read_as_empty(read: dict[str, Any]) -> None:
    assert read["val"]["heatmaps"]["lone"]["max"] == 0
    assert read["val"]["heatmaps"]["lone"]["shape"] == [1, 17, 4, 56, 56]
    assert read["val"]["graph"]["lone"]["shape"] == [1, 2, 4, 17, 3]
