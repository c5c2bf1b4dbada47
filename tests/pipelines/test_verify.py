"""`perfnet-prep verify` finds what is planted, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.verify import verify_output
from schemas.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture
def output(built: Path, tmp_path: Path) -> Path:
    """A copy of a sound output folder, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "out"))


def _full_shard(output: Path, folder: str) -> Path:
    """A shard with at least one record."""
    return max((output / folder).glob("*-of-00003*"), key=lambda path: path.stat().st_size)


def test_sound_output_has_no_problems(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(built)]) == 0
    assert "sound; 8 records, 336 images" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["tfrecord", "parquet"])
def test_flipped_bit_inside_an_image_is_found(output: Path, folder: str) -> None:
    path = _full_shard(output, folder)
    data = bytearray(path.read_bytes())
    place = data.find(b"\xff\xd9")
    assert place > 0
    data[place] ^= 0x10
    path.write_bytes(data)
    problems = verify_output(str(output)).problems
    assert problems
    assert path.name in problems[0]


def test_cut_file_is_found(output: Path) -> None:
    path = _full_shard(output, "tfrecord")
    path.write_bytes(path.read_bytes()[:-7])
    assert any("must have" in problem for problem in verify_output(str(output)).problems)


def test_missing_file_is_found(output: Path) -> None:
    _full_shard(output, "parquet").unlink()
    problems = verify_output(str(output)).problems
    assert len(problems) == 1
    assert "must exist, got no such file" in problems[0]


def test_swapped_shards_are_found(output: Path) -> None:
    first, second = sorted((output / "tfrecord").glob("*-of-00003"))[:2]
    spare = output / "spare"
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    problems = verify_output(str(output)).problems
    assert any("no such row" in problem for problem in problems)
    assert any("must hold the" in problem for problem in problems)


def test_changed_label_map_is_found(output: Path) -> None:
    (output / "label_map.txt").write_text("y\nx\n")
    problems = verify_output(str(output)).problems
    assert any("label 0 must be 'y', got 'x'" in problem for problem in problems)


def test_wrong_counts_are_found(output: Path) -> None:
    info = json.loads((output / "run.json").read_text())
    info["counts"]["written"] = 5
    (output / "run.json").write_text(json.dumps(info))
    assert "run.json must count" in verify_output(str(output)).problems[0]


def test_unfinished_output_is_refused(output: Path) -> None:
    (output / "COMPLETED").unlink()
    with pytest.raises(ConfigError, match=r"must be a completed run, got .* without the file"):
        verify_output(str(output))
    assert main(["verify", str(output)]) == 2
