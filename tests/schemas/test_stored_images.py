"""Images that wait in a file: read as a sequence, one at a time."""

from pathlib import Path

import pytest

from schemas.errors import ShardError
from schemas.stored_images import StoredImages, image_sizes

IMAGES = [b"first", b"", b"the third"]


@pytest.fixture
def stored(tmp_path: Path) -> StoredImages:
    path = tmp_path / "images"
    path.write_bytes(b"-" + b"".join(IMAGES))
    return StoredImages(path=path, starts=(1, 6, 6, 1), sizes=(5, 0, 9, 5))


def test_it_is_the_sequence_of_its_images(stored: StoredImages) -> None:
    expected = [*IMAGES, b"first"]
    assert list(stored) == expected
    assert len(stored) == 4
    assert [stored[index] for index in range(-4, 4)] == expected * 2
    assert list(stored[1:3]) == expected[1:3]
    assert list(stored[::-1]) == expected[::-1]
    assert not stored[4:]


@pytest.mark.parametrize("index", [4, -5])
def test_index_out_of_range_is_an_index_error(stored: StoredImages, index: int) -> None:
    with pytest.raises(IndexError, match=rf"index must be in -4\.\.3, got {index}"):
        stored[index]


def test_file_that_was_cut_is_noticed(stored: StoredImages) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:-1])
    with pytest.raises(ShardError, match="images must hold 15 bytes, got fewer"):
        list(stored)


def test_sizes_are_known_without_the_file(stored: StoredImages) -> None:
    stored.path.unlink()
    assert list(image_sizes(stored)) == [5, 0, 9, 5]
    assert list(image_sizes(IMAGES)) == [5, 0, 9]
