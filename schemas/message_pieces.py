"""Serialised protobuf messages in pieces: long ones are written without being collected first.

References: "Encoding" of the Protocol Buffers documentation (varints, length-delimited fields).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from schemas.stored_images import image_sizes

_LENGTH_DELIMITED = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pieces:
    """Bytes whose number is known before they are there."""

    num_bytes: int
    parts: Iterable[bytes]
    """To be read once."""


def whole(data: bytes) -> Pieces:
    """Return bytes as one piece."""
    return Pieces(num_bytes=len(data), parts=[data])


def joined(pieces: Sequence[Pieces]) -> Pieces:
    """Return pieces one after the other."""
    parts = chain.from_iterable(each.parts for each in pieces)
    return Pieces(num_bytes=sum(each.num_bytes for each in pieces), parts=parts)


def field(number: int, content: Pieces) -> Pieces:
    """Return a field that holds a message or bytes.

    Args:
        number: Of the field.
        content: The serialised message, or the bytes.
    """
    return joined([whole(_head(number, content.num_bytes)), content])


def image_list(images: Sequence[bytes]) -> Pieces:
    """Return a FeatureList with one Feature of one bytes value for each image.

    Args:
        images: Read one by one while the pieces are; only their sizes are needed before.
    """
    sizes = image_sizes(images)
    heads = [_image_head(size) for size in sizes]
    return Pieces(
        num_bytes=sum(map(len, heads)) + sum(sizes),
        parts=(head + image for head, image in zip(heads, images, strict=True)),
    )


def _image_head(size: int) -> bytes:
    """What stands before an image of `size` bytes."""
    head = b""
    for _ in range(3):  # FeatureList.feature, Feature.bytes_list, BytesList.value: all field 1
        head = _head(1, len(head) + size) + head
    return head


def _head(number: int, num_bytes: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(num_bytes)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
