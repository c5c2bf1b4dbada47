"""Write PYSKL / mmaction2 pickles of any size, one annotation at a time.

`pickle` itself would need all annotations in memory, and names numpy's private modules as the
numpy that runs it has them, which readers with an older numpy do not find.
"""

import pickle
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

_PROTOCOL = 3
_DTYPE_STATE = pickle.NONE * 3 + pickle.BININT + struct.pack("<i", -1)
_RECONSTRUCT = (  # a call that gives an empty array
    pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n"
    + pickle.GLOBAL + b"numpy\nndarray\n"
    + pickle.BININT1 + b"\x00" + pickle.TUPLE1
    + pickle.SHORT_BINBYTES + b"\x01b"
    + pickle.TUPLE3 + pickle.REDUCE
)  # fmt: skip


class AnnotationPickle:
    """A pickle `{"annotations": [...], "split": {...}}` that grows in a file.

    Args:
        file: Open for writing in binary.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_DICT)
        file.write(encode_value("annotations") + pickle.EMPTY_LIST)

    def add(self, annotation: Mapping[str, object]) -> None:
        """Append one annotation.

        Raises:
            TypeError: As `encode_value`.
        """
        self._file.write(encode_value(dict(annotation)) + pickle.APPEND)

    def finish(self, split: Mapping[str, Sequence[str]]) -> None:
        """Write the splits and the end; the file underneath stays open.

        Args:
            split: `frame_dir` of every annotation of a split, by the name of the split.
        """
        names = {name: list(members) for name, members in split.items()}
        self._file.write(pickle.SETITEM)  # the annotations
        self._file.write(encode_value("split") + encode_value(names) + pickle.SETITEM)
        self._file.write(pickle.STOP)


def encode_value(value: object) -> bytes:
    """Return the pickle instructions that put a value on the stack.

    Args:
        value: An int, str, array of numbers, or a tuple, list or dict of those.

    Raises:
        TypeError: If it is something else.
    """
    if isinstance(value, bool | int):
        return pickle.dumps(value, protocol=_PROTOCOL)[2:-1]  # without its start and end
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(encode_value, value)) + pickle.TUPLE
    if isinstance(value, list):
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(encode_value, value)) + pickle.APPENDS
    if isinstance(value, dict):
        items = b"".join(encode_value(part) for item in value.items() for part in item)
        return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return _encode_array(value)
    raise TypeError(f"value must be numbers, text, arrays or containers of them, got {value!r}")


def _encode_array(array: np.ndarray[Any, Any]) -> bytes:
    """The instructions that numpy's own pickles have, with names that every numpy knows."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    size = array.dtype.itemsize
    kind = f"{array.dtype.kind}{size}"
    byte_order = "|" if size == 1 else "<"
    dtype = (
        pickle.GLOBAL + b"numpy\ndtype\n"
        + encode_value((kind, False, True)) + pickle.REDUCE
        + pickle.MARK + encode_value(3) + encode_value(byte_order) + _DTYPE_STATE
        + encode_value(-1) + encode_value(0) + pickle.TUPLE + pickle.BUILD
    )  # fmt: skip
    content = pickle.BINBYTES + struct.pack("<I", len(data)) + data
    state = encode_value(1) + encode_value(array.shape) + dtype + pickle.NEWFALSE + content
    return _RECONSTRUCT + pickle.MARK + state + pickle.TUPLE + pickle.BUILD
