"""The images of a clip while it grows, in a file where the next process reads them.

They are the one thing of a clip that grows with its length.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipelines.nameless_file import nameless_file
from schemas.errors import RecordError
from schemas.outcome import Outcome
from schemas.stored_images import StoredImages

MAX_CLIP_BYTES = 2_000_000_000
"""Most bytes of images of one clip: a protobuf message and a binary Arrow column end at 2 GiB."""


@contextmanager
def image_file(folder: Path | None) -> Iterator[Path]:
    """Give a file for the images of one clip after the other; it is removed after.

    Args:
        folder: An existing folder for the file; None = the system's for temporary files.
    """
    with nameless_file(folder) as (_, path):
        yield path


class ImageSpool:
    """Takes the images of a clip, stream by stream.

    Args:
        path: File for them, written from its beginning; None = they are kept in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO = io.BytesIO() if path is None else path.open("wb")
        self._pieces: dict[str, list[tuple[int, int]]] = defaultdict(list)  # start, size
        self._num_bytes = 0

    def close(self) -> None:
        """Complete the file."""
        self._file.close()

    def extend(self, stream: str, images: Iterable[bytes]) -> None:
        """Append images to a stream.

        Raises:
            RecordError: TOO_LARGE, without a clip id, if the clip has too many bytes of images.
        """
        for image in images:
            self._append(stream, self._file.tell(), len(image))
            self._file.write(image)

    def repeat(self, stream: str) -> None:
        """Append the last image of a stream once more.

        Raises:
            RecordError: As `extend` does.
        """
        self._append(stream, *self._pieces[stream][-1])

    def images(self, stream: str) -> Sequence[bytes]:
        """Return the images of a stream; those in a file can be read once it is closed."""
        starts = tuple(start for start, _ in self._pieces[stream])
        sizes = tuple(size for _, size in self._pieces[stream])
        if self._path is not None:
            return StoredImages(path=self._path, starts=starts, sizes=sizes)
        images = []
        for start, size in zip(starts, sizes, strict=True):
            self._file.seek(start)
            images.append(self._file.read(size))
        return tuple(images)

    def _append(self, stream: str, start: int, size: int) -> None:
        self._num_bytes += size
        if self._num_bytes > MAX_CLIP_BYTES:
            rule = f"images of a clip must have <= {MAX_CLIP_BYTES} bytes together, got more"
            way_out = "lower --decode.short-side, --decode.max-frames or a --jpeg quality"
            raise RecordError("", Outcome.TOO_LARGE, f"{rule}; {way_out}")
        self._pieces[stream].append((start, size))
