"""The one way kernels are compiled."""

from typing import Any

from numba import njit


def kernel(function: Any) -> Any:
    """Compile a module-level function on first use; runs without the GIL.

    Machine code is kept on disk, beside the module or in the user's cache folder (or in
    NUMBA_CACHE_DIR), so that the next process starts at once. Where none of these can be
    written, every process compiles for itself.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return njit(nogil=True)(function)
