"""The content of the report page, before a browser shows it."""

import io
import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipelines import report_data
from pipelines.cli import main
from pipelines.finished_output import FinishedOutput, open_output
from pipelines.report import fill_page, write_report
from pipelines.report_clips import Film, choose_clips, make_film
from pipelines.report_data import MEANING, page_data
from schemas.errors import ConfigError
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def output(built: Path) -> FinishedOutput:
    return open_output(str(built))


def _with_rows(output: FinishedOutput, *rows: LedgerRow) -> FinishedOutput:
    return replace(output, ledger=(*output.ledger, *rows))


def _failures(outcome: Outcome, number: int) -> list[LedgerRow]:
    names = [f"{outcome.value}_{index:04d}" for index in range(number)]
    return [LedgerRow(clip_id=name, outcome=outcome, detail=f"why {name}") for name in names]


def _film(output: FinishedOutput, clip_id: str = "a") -> Film:
    film = make_film(output, next(row for row in output.ledger if row.clip_id == clip_id))
    assert film is not None
    return film


def _frames(film: Film) -> list[npt.NDArray[np.uint8]]:
    with av.open(io.BytesIO(b64decode(film.mp4))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _difference(image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Mean difference in brightness; H.264 keeps the colours of noise badly."""
    gray, other_gray = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, other))
    return float(cv2.absdiff(gray, other_gray).mean())


def test_every_row_and_detail_is_on_the_page(output: FinishedOutput) -> None:
    table = page_data([output], [])["table"]
    shown = {(row[3], row[1], row[4]) for row in table["rows"]}
    assert shown == {(row.clip_id, row.outcome.value, row.detail) for row in output.ledger}
    assert [row[1] for row in table["rows"]][-4:] == ["written"] * 4, "failures come first"
    assert (table["total"], table["left_out"]) == (6, {})


def test_page_that_would_be_too_large_keeps_rare_failures_and_says_what_it_leaves_out(
    output: FinishedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_data, "MAX_ROWS", 50)
    rows = [*_failures(Outcome.MISSING, 100), *_failures(Outcome.CRASHED, 3)]
    table = page_data([_with_rows(output, *rows)], [])["table"]
    shown = [row[1] for row in table["rows"]]
    assert len(shown) == 50
    assert shown.count("crashed") == 3
    assert shown.count("unreadable") == 1
    assert table["left_out"] == {"missing": 55, "written": 4}
    assert table["total"] == 109


def test_page_of_half_a_million_rows_stays_small(output: FinishedOutput) -> None:
    row = LedgerRow(clip_id="0wR5jVB-WPk_000417_000427", outcome=Outcome.MISSING, detail="x" * 80)
    page = fill_page(page_data([_with_rows(output, *[row] * 500_000)], []))
    assert len(page) < 6_000_000
    assert '"missing":480002' in page, "what is left out is counted"


def test_charts_hold_every_clip(output: FinishedOutput) -> None:
    (view,) = page_data([output], [])["views"]
    assert {chart["title"] for chart in view["charts"]} >= {
        *("Clip length", "Work per clip, all stages", "People per frame", "Flow at its bound")
    }
    for chart in view["charts"]:
        assert sum(chart["counts"]) == 4, chart["title"]
        assert len(chart["names"]) == len(chart["counts"])
        assert len(chart["ticks"]) - len(chart["counts"]) in (0, 1)
    (length,) = (chart for chart in view["charts"] if chart["title"] == "Clip length")
    place = length["counts"].index(4)
    low, high = map(float, length["names"][place].split(" to "))
    assert low <= 12 / 25 <= high


def test_several_outputs_give_a_view_each_and_one_of_all(output: FinishedOutput) -> None:
    views = page_data([output, replace(output, folder=output.folder)], [])["views"]
    assert [view["num_rows"] for view in views] == [12, 6, 6]


def test_every_outcome_has_a_meaning() -> None:
    assert set(MEANING) == set(Outcome)


def test_film_shows_what_the_shards_hold(output: FinishedOutput) -> None:
    film = _film(output)
    record = output.read_record("a")
    frames = _frames(film)
    assert film.panels == ("RGB", "Pose", "Flow")
    assert (film.fps, film.num_frames, len(frames)) == (25, 12, 12)
    assert frames[0].shape == (48, 3 * 64, 3) == (film.panel_height, 3 * film.panel_width, 3)
    for place, images in enumerate((record.rgb, record.pose_overlay)):
        for jpeg, frame in zip(images, frames, strict=True):
            panel = frame[:, 64 * place : 64 * (place + 1)]
            assert _difference(panel, decode_jpeg(jpeg)) < 8
    moving = frames[5][:, 128:][20:28, 22:30].reshape(-1, 3).mean(axis=0)
    assert moving[0] > moving[1] + 30, "the square moves right: red"


def test_film_is_at_most_two_and_a_half_seconds_from_the_middle(
    output: FinishedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.report_clips.EXCERPT_SECONDS", 0.16)
    film = _film(output)
    assert film.num_frames == 4
    assert "0.2 s from the middle of 12 frames" in film.note
    first = decode_jpeg(output.read_record("a").rgb[4])
    assert _difference(_frames(film)[0][:, :64], first) < 8


def test_film_draws_poses_that_are_stored_as_keypoints_only(
    build_arguments: Callable[..., list[str]], tmp_path: Path, output: FinishedOutput
) -> None:
    folder = tmp_path / "out"
    options = ("--pose-storage", "keypoints", "--modalities", "rgb", "pose", "--limit", "1")
    assert main(build_arguments(folder, *options)) == 0
    film = _film(open_output(str(folder)))
    assert film.panels == ("RGB", "Pose")
    for frame, expected in zip(_frames(film), _frames(_film(output)), strict=True):
        assert _difference(frame, expected[:, :128]) < 8


def test_sample_of_clips_does_not_change_and_shows_every_label_first(
    output: FinishedOutput,
) -> None:
    chosen = [row.clip_id for _, row in choose_clips([output], 3)]
    turned = replace(output, ledger=output.ledger[::-1])
    assert [row.clip_id for _, row in choose_clips([turned], 3)] == chosen
    labels = {row.clip_id: row.label_text for row in output.ledger}
    assert {labels[clip_id] for clip_id in chosen[:2]} == {"x", "y"}
    assert len(choose_clips([output], 99)) == 4
    assert choose_clips([output], 0) == []


def test_film_is_the_same_on_every_run(output: FinishedOutput) -> None:
    films = [_film(output) for _ in range(2)]
    one, other = (replace(film, mp4=sha256(film.mp4.encode()).hexdigest()) for film in films)
    assert one == other


def test_text_of_the_data_cannot_end_the_script(output: FinishedOutput) -> None:
    bad = "</script><script>alert(1)</script><!-- <b>"
    row = LedgerRow(clip_id=bad, outcome=Outcome.FAILED, detail=bad, label_text=bad)
    data = page_data([_with_rows(output, row)], [])
    data["outputs"][0]["name"] = "<i>csv"
    page = fill_page(data)
    assert page.count("<script") == page.count("</script>") == 2
    assert "<i>" not in page
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    assert json.loads(held[1]) == data


def test_page_allows_its_own_script_and_nothing_from_outside(output: FinishedOutput) -> None:
    page = fill_page(page_data([output], []))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "$" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_page_is_the_same_on_every_run_and_replaces_an_old_one(
    output: FinishedOutput, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    size = write_report([output], path=str(path), num_clips=1)
    first = path.read_bytes()
    assert len(first) == size
    write_report([output], path=str(path), num_clips=1)
    assert sha256(path.read_bytes()).digest() == sha256(first).digest()
    assert list(tmp_path.iterdir()) == [path]


def test_page_that_cannot_be_written_is_refused(
    output: FinishedOutput, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "report.html"):
        with pytest.raises(ConfigError, match="report must be a file in an existing folder, got"):
            write_report([output], path=str(path), num_clips=0)
    assert main(["report", output.folder, "--clips", "-1"]) == 2
    printed = capsys.readouterr()
    assert "clips must be >= 0, got -1" in printed.out + printed.err


def test_installed_package_holds_the_page(tmp_path: Path) -> None:
    repository = Path(report_data.__file__).parents[1]
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    made = {path.name for path in tmp_path.glob("lib*/pipelines/report_page/*")}
    assert made == {"page.html", "style.css", "script.js"}
