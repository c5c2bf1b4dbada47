"""`perfnet-prep verify` finds what is planted, and nothing else; `build` repairs it."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.build_shard import temp_folder
from pipelines.cli import main
from pipelines.file_digest import digest_file
from pipelines.output_folder import claim_output
from pipelines.sealed_json import read_sealed_json, write_sealed_json
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
    _seal(output)
    problems = verify_output(str(output)).problems
    assert any("label 0 must be 'y', got 'x'" in problem for problem in problems)


def test_wrong_counts_are_found(output: Path) -> None:
    info = json.loads((output / "run.json").read_text())
    info["counts"]["written"] = 5
    (output / "run.json").write_text(json.dumps(info))
    _seal(output)
    assert "run.json must count" in verify_output(str(output)).problems[0]


@pytest.mark.parametrize("name", ["run.json", "ledger.parquet", "label_map.txt"])
def test_damaged_metadata_with_right_digests_is_one_clear_line(
    output: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / name).write_bytes((output / name).read_bytes()[:-20] + b"\xff\x00")
    _seal(output)
    assert main(["verify", str(output)]) == 1
    message = capsys.readouterr().err
    assert f"{name} must be as `build` wrote it" in message
    assert "Traceback" not in message


def _seal(output: Path) -> None:
    """Make COMPLETED vouch for the files as they are now."""
    names = read_sealed_json(str(output / "COMPLETED"))["files"]
    digests = {name: dataclasses.asdict(digest_file(str(output / name))) for name in names}
    write_sealed_json(
        str(output / "COMPLETED"), {"files": digests}, temp_folder=str(output.parent / "temp")
    )


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


Snapshot = Callable[[Path], dict[str, Any]]
Arguments = Callable[..., list[str]]

DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x93\x00garbage{" * 40),
    "bit rot": lambda path: _flip(path, 0.5),
}
FILES = [
    *("COMPLETED", "ledger.parquet", "run.json", "label_map.txt", "state/settings.json"),
    *("state/plan.jsonl", "tfrecord/dataset_info.json", "tfrecord/features.json"),
    *("state/00000-of-00003.done.json", "tfrecord/csv-all.tfrecord-00000-of-00003"),
    "parquet/all-00000-of-00003.parquet",
]


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x01
    path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_any_damaged_file_is_found_and_repaired(
    built: Path,
    output: Path,
    name: str,
    damage: str,
    build_arguments: Arguments,
    snapshot: Snapshot,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stamp = (output / name).stat().st_mtime_ns
    DAMAGE[damage](output / name)
    if (output / name).exists():  # bit rot leaves the time as it was
        os.utime(output / name, ns=(stamp, stamp))
    status = main(["verify", str(output)])
    said = "".join(capsys.readouterr())
    assert status == (2 if (name, damage) == ("COMPLETED", "deleted") else 1)
    assert name in said
    assert "the same `perfnet-prep build`" in said
    assert main(build_arguments(output)) == 0
    assert "nothing to do" not in capsys.readouterr().out
    assert snapshot(output) == snapshot(built)
    assert main(["verify", str(output)]) == 0


@pytest.mark.parametrize("name", FILES[-2:])
def test_shard_changed_after_it_was_finished_is_noticed_by_build_alone(
    built: Path, output: Path, name: str, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    _flip(output / name, 0.5)
    assert main(build_arguments(output)) == 0
    assert snapshot(output) == snapshot(built)


def test_copied_output_with_new_times_is_read_once_and_then_trusted(
    output: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = output / "state" / "00000-of-00003.done.json"
    shard = output / "parquet" / "all-00000-of-00003.parquet"
    os.utime(marker, ns=(1, 1))
    before = shard.stat().st_mtime_ns
    assert main(build_arguments(output)) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert shard.stat().st_mtime_ns == before
    assert marker.stat().st_mtime_ns > before


def test_damaged_shards_are_found_beside_a_lost_ledger(output: Path) -> None:
    (output / "ledger.parquet").unlink()
    shard = _full_shard(output, "parquet")
    _flip(shard, 0.5)
    problems = verify_output(str(output)).problems
    assert [problem.split()[0] for problem in problems] == [
        "ledger.parquet",
        shard.relative_to(output).as_posix(),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "parquet/all-00000-of-00002.parquet",
        "tfrecord/old.tfrecord",
        "state/00001-of-00002.done.json",
    ],
)
def test_stray_file_is_found(output: Path, name: str) -> None:
    source = next(iter(sorted(output.glob(f"{name.split('/', maxsplit=1)[0]}/*-of-00003*"))))
    shutil.copy(source, output / name)
    assert verify_output(str(output)).problems == [
        f"{name} must belong to a shard, got a stray file; delete it"
    ]


def test_left_over_temporary_file_is_found_and_cleared_by_build(
    output: Path, build_arguments: Arguments
) -> None:
    left = Path(temp_folder(str(output))) / "0123"
    left.parent.mkdir()
    left.write_bytes(b"half a shard")
    assert "state/tmp must" in verify_output(str(output)).problems[0]
    assert main(build_arguments(output)) == 0
    assert not left.parent.exists()


def test_repair_is_left_to_a_run_in_progress(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _flip(_full_shard(output, "parquet"), 0.5)
    with claim_output(str(output)):
        assert main(["verify", str(output)]) == 1
    assert "nothing was marked for repair: output must be written by one" in capsys.readouterr().out
    assert len(list(output.glob("state/*.done.json"))) == 3
