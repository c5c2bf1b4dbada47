"""`perfnet-prep plan`: outcomes, frames and bytes are those of `build`, to within 30 %."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main

TOLERANCE = 0.3


def _options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main([command, "--help"]) == 0
    return set(re.findall(r"(?m)^[^\w-]*(--[a-z][\w.-]*)", capsys.readouterr().out))


def test_plan_takes_every_option_of_build_and_three_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    build = _options("build", capsys)
    assert len(build) > 40
    assert _options("plan", capsys) - build == {"--probe-clips", "--probe-files", "--json"}
    assert build <= _options("plan", capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--probe-clips", "0"], "probe_clips must be >= 1, got 0"),
        (["--probe-files", "3"], "probe_files must be >= probe_clips (12), got 3"),
        (["--videos", "nowhere"], "videos must be an existing folder, got nowhere"),
    ],
)
def test_bad_option_ends_with_status_2(
    build_arguments: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    arguments = build_arguments(tmp_path / "out", *options)
    assert main(["plan", *arguments[1:]]) == 2
    printed = capsys.readouterr()
    assert message in re.sub(r"[\s│]+", " ", printed.out + printed.err)


def _plan(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["plan", *arguments, "--json"]) == 0
    estimate: dict[str, Any] = json.loads(capsys.readouterr().out)
    return estimate


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_plan_writes_nothing_and_predicts_the_build(
    build_arguments: Callable[..., list[str]],
    built: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    estimate = _plan(build_arguments(tmp_path / "out")[1:], capsys)
    assert list(tmp_path.iterdir()) == []
    info = json.loads((built / "run.json").read_text())
    assert estimate["predicted"] == info["counts"]
    assert estimate["settled"] == {"missing": 1}
    assert estimate["num_frames"] == info["num_frames"]
    assert (estimate["num_rows"], estimate["num_found"], estimate["num_shards"]) == (6, 5, 3)
    assert estimate["total_bytes"] == pytest.approx(_folder_bytes(built), rel=TOLERANCE)


@pytest.mark.slow
def test_tables_name_every_figure(
    build_arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = build_arguments(tmp_path / "out", "--max-failed-fraction", "0.1", "--workers", "2")
    assert main(["plan", *arguments[1:], "--probe-clips", "2"]) == 0
    printed = capsys.readouterr()
    lines = [re.sub(" +", " ", line).strip() for line in printed.out.splitlines()]
    assert lines[:4] == [
        "csv all: 6 rows, 5 with a file",
        "outcome rows share how known",
        "written 4 66.7% predicted from 5 files",
        "missing 1 16.7% counted",
    ]
    starts = ("frames 48 (", "shards 3", "time with 2 workers", "CPU time", "disk ", "disk free")
    for start in (*starts, "measured on 5 files opened, 2 clips processed (24 frames)"):
        assert any(line.startswith(start) for line in lines), start
    assert "failed share of the rows must be <= 0.1 (max_failed_fraction)" in printed.err


def _corpus_arguments(corpus: Path, dataset: str) -> list[str]:
    lists = {"ucf101": "ucfTrainTestlist", "hmdb51": "testTrainMulti_7030_splits"}[dataset]
    return [
        *("--dataset", dataset, "--videos", str(corpus / "videos" / dataset)),
        *("--annotations", str(corpus / "annotations" / dataset / lists)),
        *("--max-failed-fraction", "1", "--num-shards", "4"),
    ]


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        (
            "ucf101",
            [
                "--split",
                "train2",
                "--modalities",
                "rgb",
                "flow",
                "--decode.short-side",
                "128",
                "--probe-clips",
                "5",
            ],
        ),
        (
            "hmdb51",
            [
                "--split",
                "train1",
                "--modalities",
                "rgb",
                "flow",
                "--probe-clips",
                "2",
            ],
        ),
    ],
)
def test_frames_and_bytes_predicted_from_some_clips_of_real_data_are_within_30_percent(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    dataset: str,
    options: list[str],
) -> None:
    arguments = [*_corpus_arguments(corpus, dataset), "--output", str(tmp_path / "out")]
    estimate = _plan([*arguments, *options], capsys)
    assert not (tmp_path / "out").exists()
    num_probed = int(options[-1])
    assert estimate["probed_clips"] == num_probed < estimate["num_found"]

    assert main(["build", *arguments, *options[:-2]]) == 0
    info = json.loads((tmp_path / "out" / "run.json").read_text())
    assert estimate["predicted"] == info["counts"]
    assert estimate["num_frames"] == pytest.approx(info["num_frames"], rel=0.05)
    size = _folder_bytes(tmp_path / "out")
    assert estimate["total_bytes"] == pytest.approx(size, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.corpus
def test_failures_among_damaged_files_are_predicted(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = corpus / "videos" / "bad"
    names = sorted(path.name for path in videos.iterdir())
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}",x\n' for name in names]
    (tmp_path / "rows.csv").write_text("video,label\n" + "".join(quoted))
    arguments = ["--dataset", "csv", "--annotations", str(tmp_path / "rows.csv"), "--split", "all"]
    arguments += ["--videos", str(videos), "--modalities", "rgb", "--decode.short-side", "32"]
    arguments += ["--max-failed-fraction", "1", "--output", str(tmp_path / "out")]
    estimate = _plan(arguments, capsys)
    assert main(["build", *arguments]) == 0
    info = json.loads((tmp_path / "out" / "run.json").read_text())
    assert estimate["num_rows"] == len(names)
    assert estimate["failed_fraction"] == pytest.approx(info["failed_fraction"], rel=TOLERANCE)
