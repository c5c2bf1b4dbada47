"""The fuzzer of videos: repeatable damage, and a few hundred damaged files through the pipeline."""

import sys
from pathlib import Path

import pytest

from benchmarks import fuzz_videos
from benchmarks.mutate_video import MUTATIONS, mutate
from benchmarks.small_clips import FORMATS, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", FORMATS[0])


def test_same_seed_does_the_same_damage(clip: Path) -> None:
    data = clip.read_bytes()
    assert mutate(data, seed="1/2") == mutate(data, seed="1/2")
    assert mutate(data, seed="1/2") != mutate(data, seed="1/3")


def test_every_kind_of_damage_is_done_and_changes_the_file(clip: Path) -> None:
    data = clip.read_bytes()
    changed = set()
    for number in range(200):
        damaged, kinds = mutate(data, seed=f"0/{number}")
        if damaged != data and len(kinds) == 1:
            changed.update(kinds)
    assert changed == set(MUTATIONS)


def test_damage_to_a_single_byte_is_survived() -> None:
    for number in range(100):
        mutate(b"x", seed=f"0/{number}")


def test_folder_without_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="clips must be a folder with videos"):
        fuzz_videos.find_clips(tmp_path)


def test_process_that_outlives_its_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    monkeypatch.setattr(fuzz_videos, "_COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(fuzz_videos, "_END_SECONDS", 1)
    (problem,) = fuzz_videos._run(["import time; time.sleep(60)"], 30)
    assert "left processes behind: python" in problem


def test_run_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_videos, "_COMMAND", ("sleep",))
    assert fuzz_videos._run(["60"], 0.5) == ["60 did not end within 0 s"]


def test_run_that_fails_shows_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_videos, "_COMMAND", (sys.executable, "-c"))
    (problem,) = fuzz_videos._run(["raise SystemExit('lost')"], 30)
    assert problem.endswith("ended with status 1: lost")


@pytest.mark.slow
def test_200_damaged_videos_get_one_row_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--files", "200", "--batch", "200", "--keep", str(tmp_path / "kept")]
    status = fuzz_videos.main(arguments)
    output = capsys.readouterr().out
    assert status == 0, output
    assert "0 problems" in output
    for outcome in ("written", "truncated", "unreadable"):
        assert f" {outcome}" in output
    assert not (tmp_path / "kept").exists(), output
