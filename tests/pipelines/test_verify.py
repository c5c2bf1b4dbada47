"""`perfnet-prep verify` finds what is planted, and nothing else."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.verify import verify_output
from schemas.errors import ConfigError
from schemas.sequence_example import decode_sequence_example, encode_sequence_example
from schemas.tfrecord import frame_record, read_records

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


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.85])
@pytest.mark.parametrize("folder", ["tfrecord", "parquet"])
def test_flipped_bit_is_found_wherever_it_is(output: Path, folder: str, share: float) -> None:
    path = _full_shard(output, folder)
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x10
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


@pytest.mark.parametrize("name", ["run.json", "ledger.parquet", "label_map.txt"])
def test_damaged_metadata_is_one_clear_line(
    output: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / name).write_bytes((output / name).read_bytes()[:-20] + b"\xff\x00")
    assert main(["verify", str(output)]) == 1
    message = capsys.readouterr().err
    assert f"{name} must be as `build` wrote it" in message
    assert "Traceback" not in message


def _rewrite(path: Path, **changes: object) -> None:
    """Change fields of every record of a TFRecord shard."""
    with path.open("rb") as file:
        records = [decode_sequence_example(data) for data in read_records(file, name=path.name)]
    with path.open("wb") as file:
        for record in records:
            changed = dataclasses.replace(record, **changes)  # type: ignore[arg-type]
            file.write(frame_record(encode_sequence_example(changed)))


def test_lost_stream_is_found(output: Path) -> None:
    _rewrite(_full_shard(output, "tfrecord"), rgb=())
    problems = verify_output(str(output)).problems
    assert any("must have the streams ['flow', 'pose_overlay'" in problem for problem in problems)


def test_formats_that_disagree_are_found(output: Path) -> None:
    _rewrite(_full_shard(output, "tfrecord"), media_id="other")
    problems = verify_output(str(output)).problems
    assert problems
    assert all("must be the same in both" in problem for problem in problems)


def test_unfinished_output_is_refused(output: Path) -> None:
    (output / "COMPLETED").unlink()
    with pytest.raises(ConfigError, match=r"must be a completed run, got .* without the file"):
        verify_output(str(output))
    assert main(["verify", str(output)]) == 2
