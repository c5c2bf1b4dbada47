"""One draw of window, crop, mirror flag and colours, shared by all streams of a sample."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from perfnet.data.windows import (
    Indices,
    Padding,
    random_segments,
    random_window,
    spaced_segments,
    spaced_window,
)
from renderers.pose import PoseRenderConfig
from schemas.errors import ConfigError

PoseSource = Literal["render", "stored"]
PoseMirror = Literal["swap", "pixels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewConfig:
    """What part of a clip a model sees, and how it is varied.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    num_frames: int = 64
    """Frames of the clip that are taken."""
    num_segments: int | None = None
    """None = consecutive frames; else num_frames / num_segments adjacent frames from each of so
    many equal parts of the clip: from a random place of each, or its middle in a central view."""
    height: int = 224
    """Height of the crop in pixels."""
    width: int = 224
    """Width of the crop in pixels (298 for UCF101 and HMDB51)."""
    is_random: bool = True
    """Random window, crop, mirroring, contrast and brightness; otherwise central and unchanged."""
    crop_scales: tuple[float, ...] = ()
    """Sides of the crop in shares of the largest crop that fits into the frame, one of which is
    drawn and resized to height and width; () = pixels as they are stored. Random views only."""
    mirror: bool = True
    """Mirror half of the clips; off for labels that tell left from right. Random views only."""
    contrast: float = 0.2
    """Contrast factor is drawn from 1 - contrast to 1 + contrast. Random views only."""
    brightness: float = 0.125
    """Brightness offset, of full scale, is drawn from -brightness to brightness. Random views."""
    num_views: int = 1
    """Evenly spaced windows of a clip, or places in its segments, each one sample. Central views
    only."""
    padding: Padding = "last"
    """Short clips: repeat the last frame, or the first and the last one equally."""
    pose_source: PoseSource = "render"
    """Draw poses from the keypoints, or take the frames drawn by `perfnet-prep`."""
    pose_mirror: PoseMirror = "swap"
    """Mirrored poses: swap left and right keypoints and draw, or mirror the drawn pixels."""
    render: PoseRenderConfig | None = None
    """How poses are drawn; None = as the run that wrote the shards."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "height", "width", "num_views"):
            if getattr(self, name) < 1:
                raise ConfigError(f"view.{name} must be >= 1, got {getattr(self, name)}")
        self._check_segments()
        for scale in self.crop_scales:
            if not 0 < scale <= 1:
                raise ConfigError(f"view.crop_scales must be > 0 and <= 1, got {scale}")
        for name in ("contrast", "brightness"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"view.{name} must be >= 0 and < 1, got {getattr(self, name)}")
        if self.is_random and self.num_views > 1:
            raise ConfigError(f"view.num_views must be 1 in a random view, got {self.num_views}")
        if self.pose_source == "stored" and self.pose_mirror == "swap" and self.may_mirror:
            raise ConfigError(
                "view.pose_mirror must be pixels with pose_source=stored (drawn bars cannot swap "
                "sides), got swap; say --view.pose-mirror pixels, or --view.no-mirror"
            )

    def _check_segments(self) -> None:
        segments = self.num_segments
        if segments is None:
            return
        if segments < 1:
            raise ConfigError(f"view.num_segments must be >= 1, got {segments}")
        if self.num_frames % segments:
            raise ConfigError(
                f"view.num_frames must be a multiple of view.num_segments ({segments}), got "
                f"{self.num_frames}"
            )

    @property
    def may_recolor(self) -> bool:
        """Whether contrast or brightness of some clips are changed."""
        return self.is_random and (self.contrast > 0 or self.brightness > 0)

    @property
    def may_mirror(self) -> bool:
        """Whether some clips are mirrored."""
        return self.is_random and self.mirror


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """What is done to every stream of one sample."""

    frames: Indices
    """int64 [num_frames]: frame indices of the clip."""
    down: float
    """Place of the crop between the top (0) and the bottom (1) of the frame."""
    right: float
    """Place of the crop between the left (0) and the right (1) of the frame, before mirroring."""
    crop_scale: float | None
    """Side of the crop in shares of the largest that fits; None = pixels as they are stored."""
    is_mirrored: bool
    contrast: float
    """Factor about mid-grey."""
    brightness: float
    """Offset in grey levels."""

    @property
    def is_recolored(self) -> bool:
        """Whether contrast or brightness change anything."""
        return self.contrast != 1.0 or self.brightness != 0.0

    @property
    def color_offset(self) -> float:
        """What is added to grey levels that are multiplied by `contrast`."""
        return 127.5 * (1 - self.contrast) + self.brightness


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """The crop of a view in frames of a known size, in pixels."""

    scale: float
    """The frame is resized by this factor first, and the crop fits into it then; 1 = not."""
    top: int
    left: int
    height: int
    width: int


def clip_rng(seed: int, epoch: int, clip_id: str) -> np.random.Generator:
    """Return the random numbers of one clip in one epoch: whoever asks, whenever."""
    digest = blake2b(f"{seed}/{epoch}/{clip_id}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def random_view(config: ViewConfig, *, num_frames: int, rng: np.random.Generator) -> View:
    """Draw window, crop, mirror flag and colours of one sample.

    Args:
        config: Sizes and ranges.
        num_frames: Frames of the clip.
        rng: From `clip_rng`.
    """
    frames = _random_frames(config, num_frames, rng)
    down, right = float(rng.uniform()), float(rng.uniform())
    is_mirrored = bool(rng.integers(0, 2)) and config.mirror
    contrast = float(rng.uniform(1 - config.contrast, 1 + config.contrast))
    brightness = float(rng.uniform(-config.brightness, config.brightness) * 255)
    return View(
        frames=frames,
        down=down,
        right=right,
        crop_scale=float(rng.choice(config.crop_scales)) if config.crop_scales else None,
        is_mirrored=is_mirrored,
        contrast=contrast,
        brightness=brightness,
    )


def _random_frames(config: ViewConfig, num_frames: int, rng: np.random.Generator) -> Indices:
    if config.num_segments is None:
        return random_window(num_frames, config.num_frames, padding=config.padding, rng=rng)
    return random_segments(
        num_frames,
        config.num_frames,
        num_segments=config.num_segments,
        padding=config.padding,
        rng=rng,
    )


def central_view(config: ViewConfig, *, num_frames: int, view: int = 0) -> View:
    """Return one of the evenly spaced looks at a clip, its central crop and its own colours.

    Args:
        config: Sizes; `num_views` windows.
        num_frames: Frames of the clip.
        view: Which window, 0 <= view < num_views.
    """
    return View(
        frames=_spaced_frames(config, num_frames, view),
        down=0.5,
        right=0.5,
        crop_scale=None,
        is_mirrored=False,
        contrast=1.0,
        brightness=0.0,
    )


def _spaced_frames(config: ViewConfig, num_frames: int, view: int) -> Indices:
    if config.num_segments is None:
        return spaced_window(
            num_frames,
            config.num_frames,
            padding=config.padding,
            view=view,
            num_views=config.num_views,
        )
    return spaced_segments(
        num_frames,
        config.num_frames,
        num_segments=config.num_segments,
        padding=config.padding,
        view=view,
        num_views=config.num_views,
    )


def place_crop(view: View, config: ViewConfig, *, height: int, width: int) -> Crop:
    """Return where the crop of a view lies in frames of a size.

    A frame smaller than the crop is resized until the crop fits into it. A view with a share of
    the largest crop resizes every frame, so that the share has the size of the crop.

    Args:
        view: The view.
        config: Size of the crop.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
    """
    fitting = max(config.height / height, config.width / width)
    scale = max(1.0, fitting) if view.crop_scale is None else fitting / view.crop_scale
    spare_rows = max(0, round(height * scale) - config.height)
    spare_columns = max(0, round(width * scale) - config.width)
    return Crop(
        scale=scale,
        top=min(spare_rows, int(view.down * (spare_rows + 1))),
        left=min(spare_columns, int(view.right * (spare_columns + 1))),
        height=config.height,
        width=config.width,
    )
