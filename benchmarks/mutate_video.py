"""Damage videos as disks, networks, broken programs and enemies do; repeatable by seed."""

import random
import struct
from collections.abc import Callable

_LIES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_CHUNK_NAMES = (
    *(b"moov", b"mdat", b"trak", b"stsd", b"stts", b"stsz", b"stco", b"stsc", b"avcC", b"elst"),
    *(b"moof", b"traf", b"trun", b"tkhd", b"mdhd", b"hdlr", b"ctts", b"stss", b"free", b"udta"),
    *(b"hdrl", b"strl", b"strh", b"strf", b"movi", b"idx1", b"00dc", b"01wb", b"avih", b"LIST"),
    *(bytes.fromhex(each) for each in ("18538067", "1549a966", "1654ae6b", "1f43b675", "1c53bb6b")),
)
_HEADER_BYTES = 2048

Mutation = Callable[[random.Random, bytearray], None]
"""Changes the bytes of a file in place."""


def mutate(data: bytes, *, seed: str) -> tuple[bytes, list[str]]:
    """Return a damaged copy of a file and the names of what was done to it.

    Args:
        data: The file; not empty.
        seed: The same seed does the same damage to the same file.
    """
    rng = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    damaged = bytearray(data)
    chosen = rng.choices(list(MUTATIONS), k=rng.choice((1, 1, 1, 2, 3)))
    for name in chosen:
        if damaged:
            MUTATIONS[name](rng, damaged)
    return bytes(damaged), chosen


def _place(rng: random.Random, data: bytearray) -> int:
    """A random place; every second one is in the header, where the structure is."""
    return rng.randrange(rng.choice((min(_HEADER_BYTES, len(data)), len(data))))


def _block(rng: random.Random, data: bytearray) -> slice:
    """A random block of one byte to a third of the file."""
    start = _place(rng, data)
    length = round(2 ** rng.uniform(0, max(1, (len(data) // 3).bit_length())))
    return slice(start, min(len(data), start + length))


def _flip_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(round(2 ** rng.uniform(0, 8))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _zero_block(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block] = bytes(block.stop - block.start)


def _fill_block_with_noise(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block] = rng.randbytes(block.stop - block.start)


def _cut_block(rng: random.Random, data: bytearray) -> None:
    del data[_block(rng, data)]


def _repeat_block(rng: random.Random, data: bytearray) -> None:
    block = _block(rng, data)
    data[block.stop : block.stop] = data[block] * rng.choice((1, 1, 2, 10))


def _insert_noise(rng: random.Random, data: bytearray) -> None:
    place = rng.choice((0, _place(rng, data), len(data)))
    data[place:place] = rng.randbytes(round(2 ** rng.uniform(0, 14)))


def _cut_end(rng: random.Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _swap_blocks(rng: random.Random, data: bytearray) -> None:
    first, second = sorted((_block(rng, data), _block(rng, data)), key=lambda each: each.start)
    if first.stop <= second.start:
        middle = data[first.stop : second.start]
        data[first.start : second.stop] = data[second] + middle + data[first]


def _chunks(data: bytearray) -> list[int]:
    """Where names of atoms, chunks and elements stand."""
    found = []
    for name in _CHUNK_NAMES:
        place = data.find(name)
        while place >= 0:
            found.append(place)
            place = data.find(name, place + 4)
    return sorted(found)


def _swap_chunk_names(rng: random.Random, data: bytearray) -> None:
    places = _chunks(data)
    if len(places) > 1:
        first, second = rng.sample(places, 2)
        names = bytes(data[first : first + 4]), bytes(data[second : second + 4])
        data[first : first + 4], data[second : second + 4] = names[1], names[0]


def _swap_chunks(rng: random.Random, data: bytearray) -> None:
    """Exchange two neighbouring pieces between names."""
    places = _chunks(data)
    if len(places) > 2:
        at = rng.randrange(len(places) - 2)
        start, middle, stop = (max(0, place - 4) for place in places[at : at + 3])
        data[start:stop] = data[middle:stop] + data[start:middle]


def _lie_in_header(rng: random.Random, data: bytearray) -> None:
    """Overwrite numbers near a name, or anywhere in the header, with extreme ones."""
    places = _chunks(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        near_name = bool(places) and rng.random() < 0.7
        place = rng.choice(places) + rng.randrange(-4, 48) if near_name else _place(rng, data)
        value, width = rng.choice(_LIES), rng.choice("BHI")
        order = rng.choice("<>")
        packed = struct.pack(order + width, value & (256 ** struct.calcsize(width) - 1))
        place = min(max(0, place), max(0, len(data) - len(packed)))
        data[place : place + len(packed)] = packed


MUTATIONS: dict[str, Mutation] = {
    "flip bits": _flip_bits,
    "zero a block": _zero_block,
    "fill a block with noise": _fill_block_with_noise,
    "cut a block": _cut_block,
    "repeat a block": _repeat_block,
    "insert noise": _insert_noise,
    "cut the end": _cut_end,
    "swap blocks": _swap_blocks,
    "swap chunk names": _swap_chunk_names,
    "swap chunks": _swap_chunks,
    "lie in the header": _lie_in_header,
}
"""All kinds of damage by name."""
