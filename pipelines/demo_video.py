"""Write a short video of a real person, to try the pipeline without any download.

The picture is the public-domain portrait of Grace Hopper that ships inside matplotlib's wheel;
matplotlib comes with mediapipe.
"""

import argparse
import importlib.util
import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError
from video.write import REPEATABLE_X264

WIDTH_PX = 340
HEIGHT_PX = 256

_PORTRAIT = Path("mpl-data", "sample_data", "grace_hopper.jpg")
_WINDOW_HEIGHT_PX = 500.0  # of the 600 px portrait: head and shoulders stay in the picture
_PERIOD_SECONDS = 2.0
_PAN_PX = (20.0, 8.0)  # with the period: at most 2.1 px per frame at 30 fps
_ZOOM = 0.05


def make_demo_video(path: Path, *, num_seconds: float = 2.0, fps: int | Fraction = 30) -> None:
    """Write an H.264 video in which the camera sways and zooms slowly over a portrait.

    The video is 340 x 256, yuv420p, in an MP4 file, and the same bytes on every run. At 30 fps
    its optical flow stays under 4 px per frame.

    Args:
        path: The file to write; replaced if it exists.
        num_seconds: Length in seconds, > 0; rounded to whole frames, at least one.
        fps: Frames per second, > 0.

    Raises:
        ConfigError: If num_seconds or fps is not > 0, or matplotlib's portrait is not installed.
    """
    if not 0 < num_seconds < math.inf:
        raise ConfigError(f"num_seconds must be > 0 and finite, got {num_seconds}")
    if fps <= 0:
        raise ConfigError(f"fps must be > 0, got {fps}")
    portrait = _load_portrait()
    num_frames = max(1, round(num_seconds * fps))
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        options = {"crf": "20", **REPEATABLE_X264}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for index in range(num_frames):
            frame = _view(portrait, seconds=float(index / Fraction(fps)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Write the demo video to the path on the command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        Exit status: 0 done, 2 the portrait is not installed.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.demo_video", description=__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="the MP4 file to write")
    arguments = parser.parse_args(argv)
    try:
        make_demo_video(arguments.path)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{arguments.path}\n")
    return 0


def _load_portrait() -> npt.NDArray[np.uint8]:
    """Return uint8 [600, 512, 3], RGB, without importing matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    for folder in folders:
        bgr = cv2.imread(str(Path(folder) / _PORTRAIT))
        if bgr is not None:
            rgb: npt.NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            return rgb
    raise ConfigError(
        "the demo portrait must be found in matplotlib's sample data, got nothing; "
        "pip install matplotlib"
    )


def _view(portrait: npt.NDArray[np.uint8], *, seconds: float) -> npt.NDArray[np.uint8]:
    """Return uint8 [256, 340, 3]: what the camera sees at a time."""
    phase = 2 * math.pi * seconds / _PERIOD_SECONDS
    scale = _WINDOW_HEIGHT_PX / HEIGHT_PX * (1 + _ZOOM * math.sin(phase))
    pan_x, pan_y = _PAN_PX[0] * math.sin(phase), _PAN_PX[1] * math.cos(phase)
    left = portrait.shape[1] / 2 - scale * (WIDTH_PX / 2 + pan_x)
    top = _WINDOW_HEIGHT_PX / 2 + 20 - scale * (HEIGHT_PX / 2 + pan_y)
    output_to_portrait = np.array([[scale, 0, left], [0, scale, top]])
    view: npt.NDArray[np.uint8] = cv2.warpAffine(
        portrait,
        output_to_portrait,
        (WIDTH_PX, HEIGHT_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return view


if __name__ == "__main__":
    sys.exit(main())
