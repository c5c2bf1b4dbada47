"""Equal files have equal hashes, others do not; the cost of a large file is bounded."""

from pathlib import Path

import pytest

from video import fingerprint
from video.fingerprint import hash_video


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_same_bytes_under_two_names_have_one_hash(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    one, two = _write(tmp_path / "a.mp4", content), _write(tmp_path / "b.avi", content)
    assert hash_video(one) == hash_video(two)
    assert len(hash_video(one)) == 32


@pytest.mark.parametrize("place", [0, 1_500_000, 2_559_999])
def test_any_changed_byte_changes_the_hash(tmp_path: Path, place: int) -> None:
    content = bytearray(bytes(range(256)) * 10_000)
    one = _write(tmp_path / "a.mp4", bytes(content))
    content[place] ^= 1
    assert hash_video(one) != hash_video(_write(tmp_path / "b.mp4", bytes(content)))


def test_lengths_count_too(tmp_path: Path) -> None:
    files = [_write(tmp_path / str(n), bytes(n)) for n in (0, 1, 2)]
    assert len({hash_video(path) for path in files}) == 3


def test_large_file_is_hashed_by_its_ends_its_size_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "MAX_WHOLE_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 10)
    content = bytearray(5000)
    original = hash_video(_write(tmp_path / "a", bytes(content)))
    for place, is_seen in ((0, True), (9, True), (4990, True), (4999, True), (12, False)):
        changed = bytearray(content)
        changed[place] = 1
        assert (hash_video(_write(tmp_path / "b", bytes(changed))) != original) is is_seen
    assert hash_video(_write(tmp_path / "c", bytes(5001))) != original
