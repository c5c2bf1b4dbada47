"""The one way kernels are compiled."""

from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from numba import njit


def kernel(function: Any) -> Any:
    """Compile a module-level function on first use; runs without the GIL.

    Machine code is kept on disk, beside the module or in the user's cache folder (or in
    NUMBA_CACHE_DIR), so that the next process starts at once. Where none of these can be
    written, every process compiles for itself.
    """
    return _compile(function)


def kernel_fused(function: Any) -> Any:
    """As `kernel`; a * b + c of scalars may be rounded once, where the CPU can."""
    return _compile(function, fastmath={"contract"})


def _compile(function: Any, **options: Any) -> Any:
    try:
        compiled = njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True, **options)(function)
    _stamp_with_sources(compiled)
    return compiled


def _stamp_with_sources(compiled: Any) -> None:
    """Let kept machine code count only for these sources of all kernels.

    numba compares the time stamp of a kernel's own file and does not see that a kernel it calls
    from another file has changed. Without the attribute (another numba) that is how it stays.
    """
    files: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(files, "_source_stamp"):
        files._source_stamp = (files._source_stamp, _sources_digest())  # noqa: SLF001


@cache
def _sources_digest() -> str:
    digest = blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
