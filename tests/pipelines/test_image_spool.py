"""The images of a clip while it grows: in memory or in a file."""

import pickle
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import image_spool
from pipelines.image_spool import ImageSpool, image_file
from schemas.errors import RecordError
from schemas.outcome import Outcome


@pytest.mark.parametrize("is_in_file", [True, False])
def test_streams_come_back_in_order(tmp_path: Path, *, is_in_file: bool) -> None:
    with closing(ImageSpool(tmp_path / "images" if is_in_file else None)) as spool:
        spool.extend("rgb", [b"a", b"bb"])
        spool.extend("flow", [b"ccc"])
        spool.repeat("rgb")
        spool.extend("rgb", [b""])
        streams = [spool.images(name) for name in ("rgb", "flow", "flow_x")]
    assert [list(images) for images in streams] == [[b"a", b"bb", b"bb", b""], [b"ccc"], []]
    assert [bool(images) for images in streams] == [True, True, False]


def test_images_in_a_file_take_no_memory_and_repeated_ones_no_room(tmp_path: Path) -> None:
    with closing(ImageSpool(tmp_path / "images")) as spool:
        spool.extend("rgb", [bytes(1 << 20)])
        spool.repeat("rgb")
        images = spool.images("rgb")
    assert (tmp_path / "images").stat().st_size == 1 << 20
    answer = pickle.dumps(images)
    assert len(answer) < 1000
    assert list(pickle.loads(answer)) == [bytes(1 << 20)] * 2  # noqa: S301 - made above


def test_second_clip_begins_with_an_empty_file(tmp_path: Path) -> None:
    for content in (b"of the first clip", b"second"):
        with closing(ImageSpool(tmp_path / "images")) as spool:
            spool.extend("rgb", [content])
    assert (tmp_path / "images").read_bytes() == b"second"


def test_clip_with_too_many_bytes_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_spool, "MAX_CLIP_BYTES", 10)
    spool = ImageSpool(None)
    spool.extend("rgb", [bytes(5)])
    spool.repeat("rgb")
    with pytest.raises(RecordError, match="clip must have <= 10 bytes together, got more") as info:
        spool.extend("flow", [b"1"])
    assert info.value.outcome is Outcome.TOO_LARGE
    assert "--decode.short-side" in info.value.detail
    with pytest.raises(RecordError, match="clip must have <= 10 bytes"):
        spool.repeat("rgb")


def test_file_is_removed_and_lies_where_it_was_told_to(tmp_path: Path) -> None:
    with image_file(tmp_path) as path:
        assert str(path.readlink()).startswith(f"{tmp_path}/")
        assert list(tmp_path.iterdir()) == [], "it has no name: nobody has to remove it"
    assert not list(tmp_path.iterdir())
