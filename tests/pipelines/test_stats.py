"""The figures agree with SQL over the ledger and with the files; their names stay."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.cli import main
from pipelines.finished_output import open_output
from pipelines.stats import collect_stats, open_outputs, stats_json
from pipelines.stats_table import format_bytes
from schemas.errors import ConfigError, ShardError

pytestmark = pytest.mark.slow

OUTPUT_KEYS = {
    *("folder", "dataset", "split", "num_rows", "outcomes", "failed_fraction", "num_clips"),
    *("num_frames", "hours", "bytes", "stage_seconds", "labels", "flow", "pose"),
}
FLOW_KEYS = {"saturated_share", "max_clip_share", "num_saturated_clips"}
POSE_KEYS = {
    *("coverage", "people_per_frame", "tracks_per_clip", "mean_score"),
    "num_clips_without_people",
}


def _json(capsys: pytest.CaptureFixture[str], *folders: Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["stats", *map(str, folders), "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def test_keys_others_script_against_exist(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = _json(capsys, built)
    assert set(values) == {"outputs", "hygiene"}
    (output,) = values["outputs"]
    assert set(output) == OUTPUT_KEYS
    assert set(output["flow"]) == FLOW_KEYS
    assert set(output["pose"]) == POSE_KEYS
    assert set(output["bytes"]) == {"rgb", "pose", "flow", "pa", "other"}
    assert set(output["stage_seconds"]) == {"decode", "flow", "pa", "pose", "render", "encode"}


def test_figures_are_those_of_sql(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output,) = _json(capsys, built)["outputs"]
    query = f"""
        select count(*), count(*) filter (shard >= 0), sum(num_frames), sum(flow_seconds),
            sum(num_frames * num_people) / sum(num_frames), max(flow_saturation)
        from '{built / "ledger.parquet"}'
    """
    with duckdb.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    assert row[:3] == (output["num_rows"], output["num_clips"], output["num_frames"]) == (6, 4, 48)
    assert output["failed_fraction"] == pytest.approx(2 / 6)
    assert output["hours"] == pytest.approx(48 / 25 / 3600)
    assert output["stage_seconds"]["flow"] == pytest.approx(row[3])
    assert output["pose"]["people_per_frame"] == pytest.approx(row[4])
    assert output["flow"]["max_clip_share"] == pytest.approx(row[5])
    assert output["outcomes"] == {"written": 4, "missing": 1, "unreadable": 1}
    assert output["labels"] == {"x": 2, "y": 2}


def test_bytes_add_up_to_the_shards_and_name_what_each_stream_takes(built: Path) -> None:
    """Of both formats: rgb and pose stand in each, flow in two different forms."""
    output = open_output(str(built))
    sizes = collect_stats([output]).bytes
    files = [*(built / "parquet").iterdir(), *(built / "tfrecord").glob("*.tfrecord-*")]
    assert sum(sizes.values()) == sum(path.stat().st_size for path in files)
    rgb = flow = 0
    for shard in range(output.num_shards):
        for record in output.read_records(shard):
            rgb += sum(map(len, record.rgb))
            flow += sum(map(len, (*record.flow_x, *record.flow_y)))
    assert sizes["rgb"] == 2 * rgb
    assert sizes["flow"] > flow > 0
    assert {name for name, size in sizes.items() if size > 0} == {"rgb", "pose", "flow", "other"}


def test_streams_that_were_not_built_have_no_figures(
    build_arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    assert main(build_arguments(folder, "--modalities", "rgb", "--formats", "parquet")) == 0
    (output,) = _json(capsys, folder)["outputs"]
    assert (output["flow"], output["pose"]) == (None, None)
    assert (output["bytes"]["flow"], output["bytes"]["pose"]) == (0, 0)
    assert main(["stats", str(folder)]) == 0
    assert "people per frame" not in capsys.readouterr().out


def test_outputs_together_are_their_sum_and_are_compared(built: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(built, tmp_path / "other"))
    info = json.loads((other / "run.json").read_text())
    info["config"]["split"] = "test"
    (other / "run.json").write_text(json.dumps(info))
    for path in (path for kind in ("parquet", "tfrecord") for path in (other / kind).iterdir()):
        path.rename(path.with_name(path.name.replace("all", "test")))
    outputs = open_outputs([str(built), str(other)])
    one, both = collect_stats(outputs[:1]), collect_stats(outputs)
    assert both.num_frames == 2 * one.num_frames
    assert both.hours == pytest.approx(2 * one.hours)
    assert both.labels == {"x": 4, "y": 4}
    assert both.bytes == {name: 2 * size for name, size in one.bytes.items()}
    found = stats_json(outputs)["hygiene"]
    assert [each["kind"] for each in found] == ["shared_file"] * 4
    assert {clip["split"] for clip in found[0]["clips"]} == {"all", "test"}


def test_table_is_readable(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(built)]) == 0
    text = capsys.readouterr().out
    for expected in ("written", "33.3% of them in no shard", "0:00:02 h playing time", "ms"):
        assert expected in text
    assert "hygiene: no copies, and no video on both sides of a split" in text


def test_lost_shard_is_named(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    lost = next((folder / "parquet").iterdir())
    lost.unlink()
    with pytest.raises(ShardError, match=rf"without parquet/{lost.name}; run `perfnet-prep verify"):
        collect_stats(open_outputs([str(folder)]))


def test_what_is_no_finished_output_is_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"named once each, got .* 2 times"):
        open_outputs([str(built), f"{built}/"])
    for command in ("stats", "report"):
        assert main([command]) == 2
        assert main([command, str(tmp_path)]) == 2
        printed = capsys.readouterr()
        assert "DIR must name at least one output folder" in printed.out + printed.err
        assert "output must be a completed run" in printed.err


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (59_700_000, "59.7 MB"), (2e15, "2 PB")],
)
def test_sizes_have_three_digits(size: float, text: str) -> None:
    assert format_bytes(size) == text
