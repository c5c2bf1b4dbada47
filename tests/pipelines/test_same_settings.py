"""One output folder has one set of settings; another is refused with the difference."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pipelines.prepare
from pipelines.cli import main

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]

CHANGES = {
    "modality": (["--modalities", "rgb"], "modalities: ['flow', 'pose', 'rgb'] -> ['rgb']"),
    "format": (["--formats", "parquet"], "formats: ['parquet', 'tfrecord'] -> ['parquet']"),
    "flow engine": (["--flow-engine", "tvl1"], "flow_engine: dis -> tvl1"),
    "flow mode": (["--flow.tvl1.mode", "exact"], "flow.tvl1.mode: "),
    "shards": (["--num-shards", "4"], "num_shards: 3 -> 4"),
    "split": (["--split", "train"], "split: all -> train"),
    "quality": (["--jpeg.rgb-quality", "80"], "jpeg.rgb_quality: 90 -> 80"),
    "strict": (["--strict"], "strict: False -> True"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("settings_lost", [False, True])
def test_every_changed_setting_is_refused_and_nothing_is_touched(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    capsys: pytest.CaptureFixture[str],
    name: str,
    settings_lost: bool,
) -> None:
    output = Path(shutil.copytree(built, tmp_path / "out"))
    if settings_lost:
        (output / "state" / "settings.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    options, difference = CHANGES[name]
    assert main(build_arguments(output, *options)) == 2
    message = capsys.readouterr().err
    assert ("settings.json is lost" if settings_lost else difference) in message
    assert "choose another --output" in message
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_other_default_number_of_shards_is_refused_with_the_way_to_keep_the_folder(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    snapshot: Callable[[Path], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Path(shutil.copytree(built, tmp_path / "out"))
    arguments = build_arguments(output)
    place = arguments.index("--num-shards")
    del arguments[place : place + 2]
    assert main(arguments) == 2
    assert "there are more or fewer rows now: add --num-shards 3, or" in capsys.readouterr().err
    assert main([*arguments, "--num-shards", "3"]) == 0
    assert snapshot(output) == snapshot(built)


def test_shards_of_other_versions_are_kept_named_and_warned_about(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = Path(shutil.copytree(built, tmp_path / "out"))
    (output / "state" / "00002-of-00003.done.json").unlink()
    old = json.loads((built / "run.json").read_text())["software"]
    new = re.sub(r"numpy=\S+", "numpy=99", old)
    monkeypatch.setattr(pipelines.prepare, "software_text", lambda: new)
    assert main(build_arguments(output)) == 0
    assert "holds finished shards made by other versions (numpy=" in caplog.text
    assert " -> numpy=99)" in caplog.text
    info = json.loads((output / "run.json").read_text())
    assert (info["software"], info["earlier_software"]) == (new, [old])
    rows = pq.read_table(output / "parquet", columns=["software"]).to_pylist()
    assert {row["software"] for row in rows} == {old, new}
    assert main(["verify", str(output)]) == 0
