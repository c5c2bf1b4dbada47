"""Synthetic clips of a person for the benchmarks of the pipeline: the same bytes on every run."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.flow_pairs import find_clips
from pipelines.demo_video import make_demo_video

FPS = 25


def write_clips(folder: Path, *, num_clips: int, num_seconds: float) -> list[Path]:
    """Write copies of one 340 x 256 clip to `folder/person/`; return their paths."""
    (folder / "person").mkdir(parents=True)
    paths = [folder / "person" / f"clip{index:04}.mp4" for index in range(num_clips)]
    make_demo_video(paths[0], num_seconds=num_seconds, fps=FPS)
    for path in paths[1:]:
        shutil.copyfile(paths[0], path)
    return paths


def copy_clips(source: Path, folder: Path, *, num_clips: int) -> None:
    """Copy the first videos of a folder, in order of their names, to `folder/person/`."""
    (folder / "person").mkdir(parents=True)
    for path in find_clips(source, num_clips=num_clips):
        shutil.copyfile(path, folder / "person" / path.name)


def write_large_clip(folder: Path, *, num_seconds: float, size: tuple[int, int]) -> Path:
    """Write one clip of a size (width, height) to `folder/person/`; its motion repeats."""
    (source,) = write_clips(folder, num_clips=1, num_seconds=2.0)
    path = source.with_name("large.mp4")
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        options = {"preset": "ultrafast", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=options)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        frames = list(_frames(source))
        for index in range(round(num_seconds * FPS)):
            frame = cv2.resize(frames[index % len(frames)], size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    source.unlink()
    return path


def _frames(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
