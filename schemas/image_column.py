"""A column of images that waits in a file without a name until Parquet takes it."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa

from schemas.stored_images import image_sizes


class ImageColumn:
    """Lists of images, one for each row; null where a row has none.

    Args:
        kind: Arrow type of the column: list<struct<bytes, path>>.
        folder: Existing folder for the file; None = the system's for temporary files.
    """

    def __init__(self, kind: pa.ListType, folder: Path | None) -> None:
        self._kind = kind
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - until close()
        self._map: mmap.mmap | None = None
        self._lengths: list[int] = []
        self._sizes: list[int] = []

    def close(self) -> None:
        """Give the file back, as soon as nothing holds the array any more."""
        self._file.close()
        self._map = None

    def append(self, images: Sequence[bytes]) -> None:
        """Append a row."""
        self._lengths.append(len(images))
        self._sizes.extend(image_sizes(images))
        self._file.writelines(images)

    def to_arrow(self) -> pa.ListArray:
        """Return all rows, whose images are not in memory but mapped to it."""
        self._file.flush()
        starts = np.cumsum([0, *self._sizes], dtype=np.int64)
        if starts[-1] > 0:
            self._map = mmap.mmap(self._file.fileno(), int(starts[-1]), access=mmap.ACCESS_READ)
        buffers = [None, pa.py_buffer(starts.astype(np.int32)), pa.py_buffer(self._map or b"")]
        num_images = len(self._sizes)
        images = pa.Array.from_buffers(pa.binary(), num_images, buffers)
        structs = pa.StructArray.from_arrays(
            [images, pa.nulls(num_images, pa.string())], fields=list(self._kind.value_type)
        )
        firsts = pa.array(np.cumsum([0, *self._lengths], dtype=np.int32))
        is_null = pa.array([length == 0 for length in self._lengths], pa.bool_())
        return pa.ListArray.from_arrays(firsts, structs, type=self._kind, mask=is_null)

    def release(self) -> None:
        """Give back the memory of what has been read so far; it can be read again."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
