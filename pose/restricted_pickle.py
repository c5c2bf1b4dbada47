"""Read pickles of arrays without running code from them."""

import codecs
import io
import pickle
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from schemas.errors import ConfigError


def load_arrays(data: bytes, *, source: str) -> Any:
    """Return the containers, numbers, strings and numpy arrays in a pickle.

    Args:
        data: A pickle of any protocol, made with numpy 1 or 2.
        source: Name of the file for messages.

    Returns:
        The object; dicts, lists, tuples, sets, numbers, strings, bytes and numpy arrays only.

    Raises:
        ConfigError: If the pickle is damaged, or names anything else; nothing of it is run.
    """
    try:
        loaded = _ArrayUnpickler(io.BytesIO(data), source).load()
    except ConfigError:
        raise
    except _DAMAGE as error:
        raise ConfigError(f"{source} must be a pickle of arrays, got {error!r}") from error
    return loaded


_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """The bytes that a protocol 2 pickle keeps as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding must be latin1, got {encoding}")
    return codecs.encode(text, "latin1")


def _reconstruct(subtype: type, shape: tuple[int, ...], kind: Any) -> Any:
    """An array to be filled by its state."""
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"array type must be numpy.ndarray, got {subtype!r}")
    return np.ndarray.__new__(np.ndarray, shape, kind)


def _frombuffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Any:
    """An array out of bytes (protocol 5)."""
    _refuse_objects(np.dtype(dtype))
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: bytes) -> Any:
    """A numpy scalar out of bytes."""
    _refuse_objects(np.dtype(dtype))
    return np.frombuffer(data, dtype=dtype, count=1)[0]


def _refuse_objects(dtype: np.dtype[Any]) -> None:
    """Python objects inside of arrays are not needed."""
    if dtype.hasobject:
        raise pickle.UnpicklingError("arrays must hold numbers, got Python objects")


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    """What a pickle may name, and what it gets for it."""
    allowed: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("_codecs", "encode"): _encode_latin1,
    }
    for package in ("numpy.core", "numpy._core"):
        allowed[f"{package}.multiarray", "_reconstruct"] = _reconstruct
        allowed[f"{package}.multiarray", "scalar"] = _scalar
        allowed[f"{package}.numeric", "_frombuffer"] = _frombuffer
    for module in ("builtins", "__builtin__"):
        allowed[module, "set"] = set
        allowed[module, "frozenset"] = frozenset
        allowed[module, "complex"] = complex
        allowed[module, "bytearray"] = bytearray
    return allowed


_ALLOWED = _allowed()


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows nothing but arrays."""

    def __init__(self, file: io.BytesIO, source: str) -> None:
        super().__init__(file, encoding="latin1")
        self._source = source

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return the stand-in of an allowed global; refuse all others."""
        found = _ALLOWED.get((module_name, global_name))
        if found is None:
            self._refuse(f"{module_name}.{global_name}")
        return found

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse references to things outside of the pickle."""
        self._refuse(f"persistent id {pid!r}")

    def _refuse(self, name: str) -> NoReturn:
        raise ConfigError(
            f"{self._source} must hold arrays and plain containers only, got {name}; "
            "the file is refused and nothing of it was run"
        )
