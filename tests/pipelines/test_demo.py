"""What the demo asks of the command line."""

from pathlib import Path

import pytest

from pipelines import demo


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands the demo runs; none of them is really run."""
    seen: list[list[str]] = []
    monkeypatch.setattr(demo, "run_command", lambda argv: seen.append(argv) or 0)
    return seen


def test_sample_is_made_built_and_verified(tmp_path: Path, commands: list[list[str]]) -> None:
    assert demo.main(["--output", str(tmp_path)]) == 0
    assert (tmp_path / "videos" / "portrait" / "portrait.mp4").stat().st_size > 10_000
    assert (tmp_path / "annotations.csv").read_text() == (
        "video,label\nportrait/portrait.mp4,portrait\n"
    )
    assert [command[0] for command in commands] == ["build", "verify"]
    assert commands[1][1] == str(tmp_path / "shards-videos")


def test_own_videos_have_their_own_result(tmp_path: Path, commands: list[list[str]]) -> None:
    videos = tmp_path / "mine"
    (videos / "run").mkdir(parents=True)
    for name in ("run/a, b.mp4", "c.avi", "notes.txt"):
        (videos / name).write_bytes(b"1")
    assert demo.main(["--videos", str(videos), "--output", str(tmp_path / "out")]) == 0
    rows = (tmp_path / "out" / "annotations.csv").read_text()
    assert rows == 'video,label\nc.avi,\n"run/a, b.mp4",run\n'
    assert commands[0][commands[0].index("--output") + 1].endswith("shards-mine")


def test_missing_folder_ends_with_status_2(
    tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["--videos", str(tmp_path / "no"), "--output", str(tmp_path)]) == 2
    assert commands == []
    assert "videos must be an existing folder" in capsys.readouterr().err
