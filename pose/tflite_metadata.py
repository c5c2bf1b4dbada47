"""Add input normalisation metadata to a TensorFlow Lite model, byte for byte the same everywhere.

MediaPipe reads the mean and the standard deviation of a float input from metadata inside the model
file. The writer below needs no library: it puts a new FlatBuffers root in front of the old model,
which stays as it is, so the bytes do not depend on the version of any package.

References:
    TensorFlow `lite/schema/schema.fbs` (tables Model, Buffer, Metadata) and
    MediaPipe `tasks/metadata/metadata_schema.fbs` (tables ModelMetadata, SubGraphMetadata,
    TensorMetadata, ProcessUnit, NormalizationOptions); FlatBuffers "Internals" for the encoding.
"""

import struct
from dataclasses import dataclass, field

from schemas.errors import ConfigError

_MODEL_IDENTIFIER = b"TFL3"
_METADATA_IDENTIFIER = b"M001"
_METADATA_NAME = b"TFLITE_METADATA"
_ALIGNMENT = 16  # of the data of Buffer, by the schema
_NORMALIZATION_OPTIONS = 1  # number in the union ProcessUnitOptions
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6  # slots of the table Model
_NUM_MODEL_SLOTS = 8


@dataclass(frozen=True)
class _OldObject:
    """A table, vector or string of the old model, at this byte position of it."""

    position: int


@dataclass(frozen=True)
class _Scalars:
    """Scalars stored in place: a field of a table."""

    data: bytes


@dataclass(frozen=True)
class _Bytes:
    """A vector of scalars, or a string."""

    count: int
    data: bytes


@dataclass(frozen=True)
class _Offsets:
    """A vector of tables."""

    items: "tuple[_Reference, ...]"


@dataclass(frozen=True)
class _Table:
    """A table; slots map a field number to its value."""

    slots: "dict[int, _Scalars | _Reference]" = field(default_factory=dict)


_Reference = _OldObject | _Bytes | _Offsets | _Table


def with_input_normalization(model: bytes, *, mean: float, std: float) -> bytes:
    """Return the model with metadata that says how its float image input is normalised.

    Args:
        model: A TensorFlow Lite model without such metadata.
        mean: Subtracted from the 0-255 values of the image.
        std: What the difference is divided by. > 0.

    Returns:
        A TensorFlow Lite model with the same weights and a metadata entry `TFLITE_METADATA`.

    Raises:
        ConfigError: If `model` is not a TensorFlow Lite model.
    """
    if model[4:8] != _MODEL_IDENTIFIER:
        raise ConfigError(
            f"model must be a TensorFlow Lite file with identifier TFL3, got {model[4:8]!r}"
        )
    old = _read_table(model)
    buffers = _read_offsets(model, old[_MODEL_BUFFERS])
    entries = _read_offsets(model, old[_MODEL_METADATA]) if _MODEL_METADATA in old else ()
    metadata = _metadata(mean, std)
    name = _Bytes(len(_METADATA_NAME), _METADATA_NAME + b"\0")
    entry = _Table({0: name, 1: _Scalars(struct.pack("<I", len(buffers)))})
    slots: dict[int, _Scalars | _Reference] = {0: _Scalars(model[old[0] : old[0] + 4])}
    for slot in range(1, _NUM_MODEL_SLOTS):
        if slot in old:
            slots[slot] = _OldObject(_follow(model, old[slot]))
    slots[_MODEL_BUFFERS] = _Offsets((*buffers, _Table({0: _Bytes(len(metadata), metadata)})))
    slots[_MODEL_METADATA] = _Offsets((*entries, entry))
    return _encode(_Table(slots), _MODEL_IDENTIFIER, model)


def _metadata(mean: float, std: float) -> bytes:
    """The ModelMetadata of one image input."""
    one = {0: _Bytes(1, struct.pack("<f", mean)), 1: _Bytes(1, struct.pack("<f", std))}
    unit = _Table({0: _Scalars(struct.pack("<B", _NORMALIZATION_OPTIONS)), 1: _Table({**one})})
    tensor = _Table({0: _Bytes(5, b"image\0"), 4: _Offsets((unit,))})
    subgraph = _Table({2: _Offsets((tensor,))})
    return _encode(_Table({3: _Offsets((subgraph,))}), _METADATA_IDENTIFIER, b"")


def _unpack(data: bytes, layout: str, position: int) -> int:
    """One little-endian integer."""
    value: int = struct.unpack_from("<" + layout, data, position)[0]
    return value


def _follow(data: bytes, position: int) -> int:
    """The position that an offset field points to."""
    return position + _unpack(data, "I", position)


def _read_table(data: bytes) -> dict[int, int]:
    """Positions of the fields that the root table holds, by slot."""
    root = _follow(data, 0)
    vtable = root - _unpack(data, "i", root)
    num_slots = (_unpack(data, "H", vtable) - 4) // 2
    offsets = [_unpack(data, "H", vtable + 4 + 2 * slot) for slot in range(num_slots)]
    return {slot: root + offset for slot, offset in enumerate(offsets) if offset}


def _read_offsets(data: bytes, position: int) -> tuple[_OldObject, ...]:
    """The items of the vector of tables that the field at `position` points to."""
    vector = _follow(data, position)
    starts = [vector + 4 + 4 * index for index in range(_unpack(data, "I", vector))]
    return tuple(_OldObject(_follow(data, start)) for start in starts)


def _encode(root: _Table, identifier: bytes, old: bytes) -> bytes:
    """Lay out the objects parents first, then the old file; all offsets point forwards."""
    out = bytearray(4) + identifier
    pending: list[tuple[int, _Reference]] = [(0, root)]
    old_fields: list[tuple[int, int]] = []
    while pending:
        position, value = pending.pop(0)
        if isinstance(value, _OldObject):
            old_fields.append((position, value.position))
            continue
        start, children = _append(out, value)
        struct.pack_into("<I", out, position, start - position)
        pending.extend(children)
    out.extend(bytes(-len(out) % _ALIGNMENT))
    for position, target in old_fields:
        struct.pack_into("<I", out, position, len(out) + target - position)
    return bytes(out) + old


def _append(
    out: bytearray, value: _Bytes | _Offsets | _Table
) -> tuple[int, list[tuple[int, _Reference]]]:
    """Append one object; its position, and the offset fields in it that are still open."""
    if isinstance(value, _Table):
        return _append_table(out, value)
    out.extend(bytes(-(len(out) + 4) % _ALIGNMENT))
    start = len(out)
    if isinstance(value, _Bytes):
        out.extend(struct.pack("<I", value.count) + value.data)
        return start, []
    out.extend(struct.pack("<I", len(value.items)) + bytes(4 * len(value.items)))
    return start, [(start + 4 + 4 * index, item) for index, item in enumerate(value.items)]


def _append_table(out: bytearray, table: _Table) -> tuple[int, list[tuple[int, _Reference]]]:
    """Append a vtable and its table; every field takes four bytes."""
    num_slots = max(table.slots) + 1
    vtable_bytes = 4 + 2 * num_slots
    out.extend(bytes(-(len(out) + vtable_bytes) % 4))
    offsets = [0] * num_slots
    body = bytearray(struct.pack("<i", vtable_bytes))
    children: list[tuple[int, _Reference]] = []
    start = len(out) + vtable_bytes
    for slot, value in sorted(table.slots.items()):
        offsets[slot] = len(body)
        if isinstance(value, _Scalars):
            body.extend(value.data.ljust(4, b"\0"))
        else:
            children.append((start + len(body), value))
            body.extend(bytes(4))
    out.extend(struct.pack(f"<HH{num_slots}H", vtable_bytes, len(body), *offsets) + body)
    return start, children
