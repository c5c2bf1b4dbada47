"""A finished folder gives its ledger and records, and says clearly what it cannot give."""

import shutil
from pathlib import Path

import pytest

from pipelines.finished_output import open_output
from schemas.errors import ConfigError, ShardError

pytestmark = pytest.mark.slow


def test_record_of_every_written_clip_is_found_and_is_its_own(built: Path) -> None:
    output = open_output(str(built))
    written = [row for row in output.ledger if row.is_in_shard]
    assert len(written) == 4
    for row in written:
        record = output.read_record(row.clip_id)
        assert record.clip_id == row.clip_id
        assert record.num_frames == row.num_frames


def test_clip_without_record_is_refused_with_its_outcome(built: Path) -> None:
    output = open_output(str(built))
    with pytest.raises(ConfigError, match=r"got broken, one that is unreadable: FFmpeg"):
        output.read_record("broken")
    with pytest.raises(ConfigError, match="got nobody, no such row"):
        output.read_record("nobody")


def test_damaged_shard_is_named_with_the_way_out(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    for path in (folder / "parquet").glob("*"):
        path.write_bytes(path.read_bytes()[:100])
    output = open_output(str(folder))
    clip_id = next(row.clip_id for row in output.ledger if row.is_in_shard)
    with pytest.raises(ShardError, match=r"\.parquet must be as .* run `perfnet-prep verify"):
        output.read_record(clip_id)
