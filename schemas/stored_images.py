"""Encoded images of a stream that wait in a file: the record of a long clip fits in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from schemas.errors import ShardError


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredImages(Sequence[bytes]):
    """Images that are read from a file each time they are asked for, one by one.

    Raises:
        ShardError: When an image is asked for that the file no longer holds.
    """

    path: Path
    starts: tuple[int, ...]
    """First byte of each image in the file."""
    sizes: tuple[int, ...]
    """Bytes of each image."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for start, size in zip(self.starts, self.sizes, strict=True):
                file.seek(start)
                data = file.read(size)
                if len(data) < size:
                    raise ShardError(f"{self.path} must hold {start + size} bytes, got fewer")
                yield data

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredImages": ...

    def __getitem__(self, index: int | slice) -> "bytes | StoredImages":
        if isinstance(index, slice):
            return StoredImages(path=self.path, starts=self.starts[index], sizes=self.sizes[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be in {-len(self)}..{len(self) - 1}, got {index}")
        return next(iter(self[index : index + 1 or None]))


def image_sizes(images: Sequence[bytes]) -> Sequence[int]:
    """Return the bytes of each image, without reading those that wait in a file."""
    return images.sizes if isinstance(images, StoredImages) else [len(image) for image in images]
