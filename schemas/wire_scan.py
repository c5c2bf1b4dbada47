"""Take out of a serialised SequenceExample the frames that are needed, without parsing the rest.

A parser copies every value of a message; a scan steps over what nobody asked for by its length.

References: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from mmap import mmap
from typing import NamedTuple

from schemas.errors import ShardError

_BYTES = 2  # wire type of a length-delimited field
_MAX_SHIFT = 63
_FEATURE_LISTS = 0x12  # SequenceExample.feature_lists: field 2, length-delimited
_FIRST, _SECOND = 0x0A, 0x12  # length-delimited fields 1 and 2 of all messages below it


class Span(NamedTuple):
    """Bytes of a message within a file or other bytes: from start, up to but not with end."""

    start: int
    end: int


def scan_sequence_example(
    data: bytes | mmap,
    span: Span,
    *,
    keys: Collection[str],
    image_keys: Collection[str],
    frames: Sequence[int] | None,
) -> tuple[bytes, dict[str, tuple[bytes, ...]]]:
    """Return the small part of a SequenceExample, still serialised, and the images of frames.

    Args:
        data: Holds the serialised message.
        span: Where.
        keys: Feature lists to keep in the small part, beside the whole context.
        image_keys: Feature lists with one bytes value for each frame, to take out.
        frames: Of which frames, in this order; None = all.

    Returns:
        A message to parse, and the images by the key of their list, for those that are there.

    Raises:
        ShardError: If data is not a SequenceExample, or a list lacks a frame or a frame's value.
    """
    small: list[bytes] = []
    images: dict[str, tuple[bytes, ...]] = {}
    try:
        for tag, start, end in _fields(data, *span):
            if tag != _FEATURE_LISTS:
                small += _field(tag, [data[start:end]])
                continue
            kept: list[bytes] = []
            for _, *entry in _fields(data, start, end):
                key, value = _map_entry(data, Span(*entry))
                if key in image_keys:
                    images[key] = _images_at(data, value, key, frames)
                elif key in keys:
                    kept += _field(_FIRST, [data[entry[0] : entry[1]]])
            small += _field(tag, kept)
    except (IndexError, ValueError) as error:
        raise ShardError("record must be a SequenceExample, got other bytes") from error
    return b"".join(small), images


def _map_entry(data: bytes | mmap, entry: Span) -> tuple[str, Span]:
    """Key and place of the value of an entry of a map."""
    key, value = b"", Span(entry.end, entry.end)
    for tag, start, end in _fields(data, *entry):
        if tag == _FIRST:
            key = data[start:end]
        elif tag == _SECOND:
            value = Span(start, end)
    return key.decode("utf-8"), value


def _images_at(
    data: bytes | mmap, features: Span, key: str, frames: Sequence[int] | None
) -> tuple[bytes, ...]:
    """The one bytes value of each frame that is asked for."""
    most = max(frames) + 1 if frames and min(frames) >= 0 else None  # the rest is of no interest
    places = [(start, end) for _, start, end in islice(_fields(data, *features), most)]
    if frames is None:
        frames = range(len(places))
    elif frames and not 0 <= min(frames) <= max(frames) < len(places):
        wanted = f"{min(frames)} to {max(frames)}"
        raise ShardError(f"{key!r} must have the frames {wanted}, got {len(places)} frames")
    return tuple(_single_value(data, *places[frame], key, t) for t, frame in enumerate(frames))


def _single_value(data: bytes | mmap, start: int, end: int, key: str, t: int) -> bytes:
    """The only value of a Feature that holds a BytesList."""
    values = [
        value for tag, *inner in _fields(data, start, end) if tag == _FIRST
        for value in _fields(data, *inner)
    ]  # fmt: skip
    if len(values) != 1:
        raise ShardError(f"frame {t} of {key!r} must have one value, got {len(values)}")
    _, start, end = values[0]
    return data[start:end]


def _field(tag: int, parts: Sequence[bytes]) -> list[bytes]:
    """A length-delimited field whose value comes in parts."""
    return [bytes([tag]), _varint(sum(map(len, parts))), *parts]


def _fields(data: bytes | mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the value of every length-delimited field of a message.

    The messages have no fields of another kind, and none above number 15.

    Raises:
        IndexError, ValueError: If the bytes are not such a message.
    """
    place = start
    while place < end:
        tag, length = data[place], data[place + 1]
        if tag & 0x87 != _BYTES:
            raise ValueError(f"field must be length-delimited, got tag {tag}")
        place += 2
        if length > 0x7F:  # the byte announces another
            shift = 7
            while length >> shift and shift < _MAX_SHIFT:
                length += (data[place] - 1) << shift  # the flag before was counted as 1 << shift
                place += 1
                shift += 7
        if length > end - place:
            raise ValueError(f"field must end at {end} or before, got {place + length}")
        yield tag, place, place + length
        place += length


def _varint(number: int) -> bytes:
    """A length as protobuf writes it."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
