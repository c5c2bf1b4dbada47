"""Frame pairs to measure optical flow on: real ones and synthetic ones with known flow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from video.decode import DecodeConfig, open_clip

Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
PairKind = Literal["real", "smooth", "layer"]

VIDEO_SUFFIXES = (".avi", ".mkv", ".mp4", ".webm")
_PAIRS_PER_KIND = 4
_MAX_CLIP_FRAMES = 260
_SYNTHETIC: tuple[tuple[PairKind, float], ...] = (
    ("smooth", 3.0),
    ("smooth", 10.0),
    ("layer", 6.0),
    ("layer", 10.0),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FramePair:
    """Two uint8 [H, W] frames and, for synthetic pairs, what moved where."""

    clip: str
    kind: PairKind
    label: str
    frame0: Gray
    frame1: Gray
    truth: Flow | None = None
    """float32 [H, W, 2]: frame0(x) shows frame1(x + truth(x))."""
    mask: npt.NDArray[np.bool_] | None = None
    """bool [H, W]: neither occluded nor moving out of the frame."""


def find_clips(folder: Path, *, num_clips: int) -> list[Path]:
    """Return the first videos of a folder by name.

    Raises:
        ValueError: If there is none.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise ValueError(f"folder must hold a video ({', '.join(VIDEO_SUFFIXES)}), got {folder}")
    return files[:num_clips]


def clip_pairs(path: Path, *, seed: int, noise: float) -> Iterator[FramePair]:
    """Yield four pairs of consecutive frames of a video, then four synthetic ones made of it."""
    frames = read_gray(path)
    rng = np.random.default_rng(seed)
    last = len(frames) - 2
    for share in np.linspace(0.1, 0.9, _PAIRS_PER_KIND):
        index = round(share * last)
        yield FramePair(
            clip=path.name,
            kind="real",
            label=f"#{index}",
            frame0=frames[index],
            frame1=frames[index + 1],
        )
    images = (frames[last // 3], frames[last][:, ::-1])
    yield from synthetic_pairs(path.name, images, rng=rng, noise=noise)


def texture_pairs(name: str, *, seed: int, noise: float, size: tuple[int, int]) -> list[FramePair]:
    """Return the four synthetic pairs of two seeded textures; `size` is (width, height)."""
    rng = np.random.default_rng(seed)
    images = (make_texture(rng, size=size), make_texture(rng, size=size))
    return list(synthetic_pairs(name, images, rng=rng, noise=noise))


def read_gray(path: Path) -> list[Gray]:
    """Return the first frames of a video as uint8 [H, W], short side 256, 25 per second."""
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_rgb(path)]


def read_rgb(path: Path) -> list[npt.NDArray[np.uint8]]:
    """Return the first frames of a video as uint8 [H, W, 3], short side 256, 25 per second."""
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=True, config=DecodeConfig()
    ) as clip:
        return [frame.rgb for frame in islice(clip.frames(), _MAX_CLIP_FRAMES)]


def make_texture(rng: np.random.Generator, *, size: tuple[int, int]) -> Gray:
    """Return a grey image with detail at every scale and sharp edges: noise and ellipses."""
    width, height = size
    image = np.zeros((height, width), np.float32)
    cell = 2
    while cell < min(size):
        grid = rng.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        image += cell**0.6 * cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
        cell *= 2
    image = 128 + 30 * (image - image.mean()) / image.std()
    for _ in range(30):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, width // 8)), int(rng.integers(4, height // 8)))
        shape = np.zeros((height, width), np.uint8)
        cv2.ellipse(shape, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        image += shape * np.float32(rng.uniform(-50, 50))
    return np.clip(image, 0, 255).astype(np.uint8)


def synthetic_pairs(
    clip: str, images: Sequence[Gray], *, rng: np.random.Generator, noise: float
) -> Iterator[FramePair]:
    """Yield two smooth and two layered pairs; images[0] is the background of both kinds."""
    back, front = (image.astype(np.float32) for image in images)
    for kind, max_px in _SYNTHETIC:
        truth = smooth_flow(rng, shape=back.shape, max_px=max_px)
        target = back
        if kind == "layer":
            target, source, truth, mask = _layered(back, front, truth, rng=rng, max_px=max_px)
        else:
            source, mask = _sample(back, truth), _lands_inside(truth)
        yield FramePair(
            clip=clip,
            kind=kind,
            label=f"{kind}{max_px:.0f}",
            frame0=_to_gray(source, rng=rng, noise=noise),
            frame1=_to_gray(target, rng=rng, noise=noise),
            truth=truth,
            mask=mask,
        )


def smooth_flow(rng: np.random.Generator, *, shape: tuple[int, ...], max_px: float) -> Flow:
    """Return translation + rotation and zoom + three sinusoids, no vector beyond max_px."""
    height, width = shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = (x - width / 2) / width, (y - height / 2) / width
    angle, zoom = rng.uniform(-1, 1, 2)
    field = np.stack([zoom * x - angle * y, angle * x + zoom * y], axis=-1)
    field = field + rng.uniform(-0.5, 0.5, 2)
    for _ in range(3):
        wave = rng.uniform(-2, 2, 2) * 2 * np.pi
        phase = wave[0] * x + wave[1] * y + rng.uniform(0, 2 * np.pi)
        field = field + np.sin(phase)[..., None] * rng.uniform(-0.3, 0.3, 2)
    field *= max_px / np.hypot(field[..., 0], field[..., 1]).max()
    flow: Flow = field.astype(np.float32)
    return flow


def _layered(
    back: Flow, front: Flow, back_flow: Flow, *, rng: np.random.Generator, max_px: float
) -> tuple[Flow, Flow, Flow, npt.NDArray[np.bool_]]:
    """Frame1, frame0, flow and mask of an ellipse that moves over a moving background."""
    height, width = back.shape
    front_flow = smooth_flow(rng, shape=back.shape, max_px=max_px)
    ellipse = np.zeros(back.shape, np.uint8)
    centre = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65)))
    axes = (int(width * rng.uniform(0.15, 0.25)), int(height * rng.uniform(0.15, 0.3)))
    cv2.ellipse(ellipse, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    is_front1 = ellipse > 0
    target = np.where(is_front1, front, back)
    is_front0 = _sample(ellipse.astype(np.float32), front_flow, cv2.INTER_NEAREST) > 0
    is_hidden = ~is_front0 & (_sample(ellipse.astype(np.float32), back_flow) > 0)
    source = np.where(is_front0, _sample(front, front_flow), _sample(back, back_flow))
    truth = np.where(is_front0[..., None], front_flow, back_flow)
    return target, source, truth, _lands_inside(truth) & ~is_hidden


def _sample(image: Flow, flow: Flow, method: int = cv2.INTER_LANCZOS4) -> Flow:
    """image(x + flow(x)), [H, W]."""
    height, width = image.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    sampled: Flow = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], method, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled


def _lands_inside(flow: Flow) -> npt.NDArray[np.bool_]:
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside: npt.NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside


def _to_gray(image: Flow, *, rng: np.random.Generator, noise: float) -> Gray:
    noisy = image + noise * rng.standard_normal(image.shape)
    gray: Gray = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return gray
