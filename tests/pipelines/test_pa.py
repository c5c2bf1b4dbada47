"""Persistence of appearance through a build: what is stored, and everything that reads it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.pa import persistence_of_appearance
from flow.quantize import quantize_pa
from pipelines.cli import main
from pipelines.config import BuildConfig, JpegConfig
from pipelines.finished_output import FinishedOutput, open_output
from pipelines.report_clips import make_film
from schemas.clip_record import ClipRecord
from schemas.shard_reader import read_shard
from video.decode import DecodeConfig, open_clip
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
MODALITIES = ("--modalities", "rgb", "pa", "--jpeg.pa-quality", "100")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, build_arguments: Arguments) -> Path:
    """Output of RGB and PA; read only."""
    output = tmp_path_factory.mktemp("pa") / "out"
    assert main(build_arguments(output, *MODALITIES)) == 0
    return output


@pytest.fixture(scope="module")
def output(folder: Path) -> FinishedOutput:
    return open_output(str(folder))


def records_of(output: FinishedOutput, kind: str) -> dict[str, ClipRecord]:
    found = {}
    for shard in range(output.num_shards):
        name = output.shard_name(shard, kind)
        with (Path(output.folder) / name).open("rb") as file:
            found.update({record.clip_id: record for record in read_shard(file, name=name)})
    return found


def decoded(path: Path) -> Any:
    """uint8 [T, H, W, 3]: the frames that a build sees."""
    config = DecodeConfig(short_side=48)
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=True, config=config
    ) as clip:
        return np.stack([frame.rgb for frame in clip.frames()])


@pytest.mark.parametrize("kind", ["tfrecord", "parquet"])
def test_each_frame_has_the_pa_of_the_decoded_frame_and_its_next(
    kind: str, output: FinishedOutput, video_set: Path
) -> None:
    records = records_of(output, kind)
    assert len(records) == 4
    for name, record in records.items():
        frames = decoded(video_set / "videos" / f"{name}.mp4")
        assert len(record.pa) == len(record.rgb) == len(frames) == 12
        codes = np.stack([decode_jpeg(jpeg) for jpeg in record.pa]).astype(int)
        wanted = quantize_pa(persistence_of_appearance(frames)).astype(int)
        assert wanted.max() > 200
        assert np.abs(codes - wanted).max() <= 3
        assert record.pa[11] == record.pa[10] != record.pa[9]
        assert record.pa_bound == 0.5


def test_output_is_sound_and_says_what_pa_takes(
    folder: Path, output: FinishedOutput, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder)]) == 0
    rows = [row for row in output.ledger if row.is_in_shard]
    for row in rows:
        assert row.stream_bytes["pa"] == sum(map(len, output.read_record(row.clip_id).pa))
        assert row.seconds["pa"] > 0
        assert row.seconds["flow"] == 0
    capsys.readouterr()
    assert main(["stats", str(folder), "--json"]) == 0
    (stats,) = json.loads(capsys.readouterr().out)["outputs"]
    assert stats["bytes"]["pa"] == 2 * sum(row.stream_bytes["pa"] for row in rows)
    assert stats["stage_seconds"]["pa"] > 0


def test_show_and_report_know_it(
    folder: Path, output: FinishedOutput, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(folder), "a"]) == 0
    shown = capsys.readouterr().out
    assert "  pa              12 frames, " in shown
    assert "  pa bound        0.5\n" in shown
    film = make_film(output, next(row for row in output.ledger if row.clip_id == "a"))
    assert film is not None
    assert film.panels == ("RGB", "PA")


def test_export_writes_the_stored_images(
    folder: Path, output: FinishedOutput, tmp_path: Path
) -> None:
    to = tmp_path / "mm"
    assert main(["export", "mmaction2", str(folder), str(to), "--modalities", "rgb", "pa"]) == 0
    paths = [to / "rawframes" / "x" / "a" / f"pa_{index:05d}.jpg" for index in range(1, 13)]
    assert tuple(path.read_bytes() for path in paths) == output.read_record("a").pa
    assert "x/a 12 0\n" in (to / "pa_all.txt").read_text()


def test_export_of_an_output_without_it_is_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "mmaction2", str(built), str(tmp_path / "mm"), "--modalities", "pa"]
    assert main(arguments) == 2
    assert "modalities must be among those stored as images" in capsys.readouterr().err


def test_weights_of_a_file_make_other_bytes_and_another_config_hash(
    output: FinishedOutput, tmp_path: Path, build_arguments: Arguments
) -> None:
    weights = np.zeros((8, 3, 7, 7), np.float32)
    weights[:, 1, 3, 3] = 1 / np.sqrt(8)  # the change of green at the pixel itself
    np.save(tmp_path / "pa.npy", weights)
    other = tmp_path / "out"
    options = ("--pa.weights", str(tmp_path / "pa.npy"), "--pa.bound", "1")
    assert main(build_arguments(other, *MODALITIES, *options)) == 0
    record = open_output(str(other)).read_record("a")
    green = [decode_jpeg(jpeg)[..., 1].astype(int) for jpeg in record.rgb]
    pa = decode_jpeg(record.pa[4]).astype(int)
    assert record.pa_bound == 1
    assert np.abs(pa - np.abs(green[5] - green[4])).mean() < 4
    mine, default = (each.provenance.config_hash for each in (record, output.read_record("a")))
    assert mine != default


def config(**changes: Any) -> BuildConfig:
    places = {"videos": "v", "output": "o", "annotations": "a.csv"}
    return BuildConfig(dataset="csv", split="all", **places, **changes)


def test_settings_of_pa_count_only_where_it_is_stored() -> None:
    plain = config()
    assert "pa" not in plain.content_settings()
    assert set(plain.content_settings()["jpeg"]) == {
        *("rgb_quality", "pose_quality", "flow_quality")
    }
    other = replace(plain, jpeg=JpegConfig(pa_quality=50))
    assert other.content_hash() == plain.content_hash()
    with_pa = [replace(each, modalities=("rgb", "pa")) for each in (plain, other)]
    assert with_pa[0].content_settings()["pa"] == {"bound": 0.5, "quality": 90, "weights": "jet"}
    assert with_pa[0].content_hash() != with_pa[1].content_hash()


def test_weights_that_cannot_be_used_are_one_line(
    tmp_path: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "pa.npy", np.zeros((8, 3, 7, 7)))
    options = ("--modalities", "pa", "--pa.weights", str(tmp_path / "pa.npy"))
    assert main(build_arguments(tmp_path / "out", *options)) == 2
    printed = capsys.readouterr().err
    assert "pa.weights must be a .npy file of float32 [8, 3, 7, 7], got " in printed
    assert "with float64 [8, 3, 7, 7]" in printed
    assert "Traceback" not in printed
    assert main(build_arguments(tmp_path / "out", "--pa.bound", "0")) == 2
    assert "pa.bound must be 1e-06 to 1e+06, got 0.0" in capsys.readouterr().err
