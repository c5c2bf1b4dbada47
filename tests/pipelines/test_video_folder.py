"""What may be read below the videos folder: links must not lead out of it unasked."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.config import BuildConfig
from pipelines.prepare import prepare_run
from pipelines.video_folder import list_videos
from schemas.errors import ConfigError
from schemas.ledger import LedgerRow, read_ledger
from schemas.outcome import Outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`videos` with links of all kinds, and `elsewhere` with a video and a folder of one."""
    videos, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    for each in (videos / "golf", elsewhere / "swim"):
        each.mkdir(parents=True)
    (videos / "golf" / "a.mp4").write_bytes(b"123")
    (elsewhere / "out.mp4").write_bytes(b"12345")
    (elsewhere / "swim" / "b.mp4").write_bytes(b"1234")
    (videos / "golf" / "inside.mp4").symlink_to("a.mp4")
    (videos / "golf" / "absolute.mp4").symlink_to(videos / "golf" / "a.mp4")
    (videos / "golf" / "out.mp4").symlink_to(elsewhere / "out.mp4")
    (videos / "golf" / "through.mp4").symlink_to("out.mp4")
    (videos / "golf" / "gone.mp4").symlink_to(elsewhere / "gone.mp4")
    (videos / "golf" / "circle.mp4").symlink_to("circle.mp4")
    (videos / "linked").symlink_to(elsewhere / "swim", target_is_directory=True)
    (videos / "again").symlink_to("golf", target_is_directory=True)
    (videos / "golf" / "up").symlink_to("..", target_is_directory=True)
    return videos


INSIDE = {
    f"{folder}/{name}": 3
    for folder in ("golf", "again")
    for name in ("a.mp4", "inside.mp4", "absolute.mp4")
}


def test_links_within_the_folder_are_read_and_those_out_of_it_are_not(folder: Path) -> None:
    found = list_videos(str(folder), follow_links=False)
    assert found.sizes == INSIDE
    out, nothing = Outcome.FAILED, Outcome.MISSING
    names = {"out.mp4": out, "through.mp4": out, "gone.mp4": nothing, "circle.mp4": nothing}
    assert {path: each.outcome for path, each in found.unusable.items()} == {
        "linked": out,
        **{f"{where}/{name}": what for where in ("golf", "again") for name, what in names.items()},
    }
    assert found.unusable["golf/out.mp4"].detail == (
        f"file must lie in the videos folder, got a link out of it to "
        f"{folder.parent}/elsewhere/out.mp4; give --follow-links if it may be read, "
        "or put the file itself there"
    )
    detail = found.unusable["golf/gone.mp4"].detail
    assert detail.startswith("file must not be a link to nothing, got one to ")


def test_followed_links_are_files_like_others(folder: Path) -> None:
    found = list_videos(str(folder), follow_links=True)
    through = {f"{where}/{n}.mp4": 5 for where in ("golf", "again") for n in ("out", "through")}
    assert found.sizes == {**INSIDE, **through, "linked/b.mp4": 4}
    assert set(found.unusable) == {
        f"{where}/{name}.mp4" for where in ("golf", "again") for name in ("gone", "circle")
    }


def test_folder_that_is_a_link_itself_is_the_videos_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder, target_is_directory=True)
    assert list_videos(str(tmp_path / "alias"), follow_links=False).sizes == INSIDE


def test_folder_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    for name in ("videos", "videos2"):
        (tmp_path / name).mkdir()
    (tmp_path / "videos2" / "a.mp4").write_bytes(b"1")
    (tmp_path / "videos" / "a.mp4").symlink_to("../videos2/a.mp4")
    assert list_videos(str(tmp_path / "videos"), follow_links=False).sizes == {}


def test_what_is_no_file_is_not_listed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert list_videos(str(tmp_path), follow_links=False).sizes == {"a.mp4": 0}


@pytest.mark.parametrize("target", ["nowhere", "file"])
def test_missing_folder_is_a_user_error(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=rf"videos must be an existing folder, got .*{target}"):
        list_videos(str(tmp_path / target), follow_links=False)


def test_folder_that_cannot_be_read_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError, match=r"can be read .*, got /.*: Permission denied"):
        list_videos(str(tmp_path), follow_links=False)


def _settled(folder: Path, dataset: str, rows: str = "", **options: bool) -> dict[str, LedgerRow]:
    """Rows that are settled before the build, by source."""
    annotations = ""
    if rows:
        annotations = str(folder.parent / "rows.csv")
        Path(annotations).write_text(rows)
    config = BuildConfig(
        dataset=dataset,  # type: ignore[arg-type]
        annotations=annotations,
        videos=str(folder),
        split="val",
        output=str(folder.parent / "out"),
        modalities=("rgb",),
        **options,
    )
    return {row.source: row for row in prepare_run(config).plan.settled}


CSV_ROWS = "video,label\n" + "".join(
    f"{name},x\n"
    for name in ("golf/a.mp4", "golf/out.mp4", "linked/b.mp4", "golf/gone.mp4", "golf/none.mp4")
)


def test_row_whose_file_is_a_link_out_of_the_folder_says_so(folder: Path) -> None:
    rows = _settled(folder, "csv", CSV_ROWS)
    assert {source: row.outcome for source, row in rows.items()} == {
        "rows.csv:3": Outcome.FAILED,
        "rows.csv:4": Outcome.FAILED,
        "rows.csv:5": Outcome.MISSING,
        "rows.csv:6": Outcome.MISSING,
    }
    assert rows["rows.csv:3"].path == "golf/out.mp4"
    assert rows["rows.csv:4"].path == "linked"
    for line in (3, 4):
        assert "; give --follow-links if it may be read" in rows[f"rows.csv:{line}"].detail
    assert "got one to " in rows["rows.csv:5"].detail
    assert "no file of the video folder is golf/none.mp4" in rows["rows.csv:6"].detail


def test_row_is_found_once_links_are_followed(folder: Path) -> None:
    rows = _settled(folder, "csv", CSV_ROWS, follow_links=True)
    assert set(rows) == {"rows.csv:5", "rows.csv:6"}


def test_missing_id_tells_of_a_folder_that_was_not_searched(folder: Path) -> None:
    rows = _settled(folder, "kinetics400", "youtube_id,time_start,time_end\nb,0,4\nout,0,4\n")
    assert rows["rows.csv:2"].outcome is Outcome.MISSING
    assert "entries of it are not read, such as 'again/circle.mp4'" in rows["rows.csv:2"].detail
    assert rows["rows.csv:3"].outcome is Outcome.FAILED


def test_link_in_a_folder_per_class_is_a_row(folder: Path) -> None:
    rows = _settled(folder, "folder")
    assert rows["linked"].outcome is Outcome.FAILED
    assert rows["golf/gone.mp4"].outcome is Outcome.MISSING
    assert len(rows) == 9


def test_folder_per_class_of_nothing_but_links_says_how_to_read_them(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "videos" / "golf").symlink_to(tmp_path / "real", target_is_directory=True)
    with pytest.raises(ConfigError, match=r"such as 'golf': .* give --follow-links"):
        _settled(tmp_path / "videos", "folder")


@pytest.mark.slow
def test_build_gives_a_link_out_of_the_folder_one_ledger_row(
    tmp_path: Path, video_set: Path, build_arguments: Callable[..., list[str]]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "b.mp4").write_bytes((video_set / "videos" / "b.mp4").read_bytes())
    (videos / "a.mp4").symlink_to(video_set / "videos" / "a.mp4")
    (tmp_path / "rows.csv").write_text("video,label\na.mp4,x\nb.mp4,x\n../rows.csv,x\n")

    def build(name: str, *options: str) -> list[tuple[str, str]]:
        arguments = build_arguments(tmp_path / name, "--modalities", "rgb", *options)
        arguments[arguments.index("--annotations") + 1] = str(tmp_path / "rows.csv")
        arguments[arguments.index("--videos") + 1] = str(videos)
        arguments[arguments.index("--max-failed-fraction") + 1] = "1"
        assert main(arguments) == 0
        with (tmp_path / name / "ledger.parquet").open("rb") as file:
            return [(row.source, row.outcome.value) for row in read_ledger(file)]

    refused = [
        ("rows.csv:4", "bad_annotation"),
        ("rows.csv:2", "failed"),
        ("rows.csv:3", "written"),
    ]
    assert build("refused") == refused
    followed = [("rows.csv:4", "bad_annotation"), ("rows.csv:2", "written")]
    assert build("followed", "--follow-links") == [*followed, ("rows.csv:3", "written")]
