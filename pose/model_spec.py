"""How the input of a pose model is made and what its output means."""

from dataclasses import dataclass
from typing import Literal

from schemas.errors import ConfigError
from schemas.skeleton import NUM_KEYPOINTS

Head = Literal["yolox", "rtmdet", "detections", "heatmap", "simcc", "one-stage"]
"""What a model gives: boxes as rows of a grid (`yolox`) or maps of a grid (`rtmdet`), boxes that
are ready (`detections`, as MMDeploy exports them), keypoints of the one person in a crop
(`heatmap`, `simcc`), or boxes and keypoints of all people in the image (`one-stage`)."""

DETECTOR_HEADS: tuple[Head, ...] = ("yolox", "rtmdet", "detections")
"""Heads of models that find boxes of people."""
CROP_HEADS: tuple[Head, ...] = ("heatmap", "simcc")
"""Heads of models that see one person at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """What has to be known about a model beside its file."""

    head: Head
    """What the output means."""
    input_width: int
    """Width of the input image in pixels."""
    input_height: int
    """Height of the input image in pixels."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colours of the input."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from the 0-255 values, in the order of the input's colours."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What the differences are divided by."""
    letterbox: Literal["corner", "centre"] = "corner"
    """Where the image lies in an input of another aspect, for models that see the whole image."""
    pad_value: int = 114
    """Value of the input around it, 0 to 255."""
    box_scale: float = 1.25
    """Side of the crop over the side of the person's box, for models that see one person."""
    keypoints: tuple[int, ...] = tuple(range(NUM_KEYPOINTS))
    """The output's keypoint for each of the 17 of COCO, in their order."""

    def __post_init__(self) -> None:
        for name in ("input_width", "input_height"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")
        if min(self.std) <= 0:
            raise ConfigError(f"std must be > 0 each, got {self.std}")
        if not 0 <= self.pad_value <= 255:
            raise ConfigError(f"pad_value must be 0 to 255, got {self.pad_value}")
        if self.box_scale <= 0:
            raise ConfigError(f"box_scale must be > 0, got {self.box_scale}")
        if len(self.keypoints) != NUM_KEYPOINTS or min(self.keypoints) < 0:
            raise ConfigError(f"keypoints must be {NUM_KEYPOINTS} indices, got {self.keypoints}")


IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Mean of the red, green and blue of ImageNet, 0-255."""
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Standard deviation of the same."""

SpecName = Literal[
    "yolox-416",
    "yolox-640",
    "rtmdet-320",
    "detections-640",
    "detections-320",
    "heatmap-256x192",
    "heatmap-128x96",
    "simcc-256x192",
    "simcc-384x288",
    "rtmo-640",
]
"""Kinds of models by head and size of the input (height x width)."""

SPECS: dict[SpecName, ModelSpec] = {
    "yolox-416": ModelSpec(head="yolox", input_width=416, input_height=416, channels="bgr"),
    "yolox-640": ModelSpec(head="yolox", input_width=640, input_height=640, channels="bgr"),
    "rtmdet-320": ModelSpec(
        head="rtmdet",
        input_width=320,
        input_height=320,
        channels="bgr",
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
    ),
    "detections-640": ModelSpec(
        head="detections", input_width=640, input_height=640, channels="bgr"
    ),
    "detections-320": ModelSpec(
        head="detections",
        input_width=320,
        input_height=320,
        channels="bgr",
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
    ),
    "heatmap-256x192": ModelSpec(
        head="heatmap", input_width=192, input_height=256, mean=IMAGENET_MEAN, std=IMAGENET_STD
    ),
    "heatmap-128x96": ModelSpec(
        head="heatmap", input_width=96, input_height=128, mean=IMAGENET_MEAN, std=IMAGENET_STD
    ),
    "simcc-256x192": ModelSpec(
        head="simcc", input_width=192, input_height=256, mean=IMAGENET_MEAN, std=IMAGENET_STD
    ),
    "simcc-384x288": ModelSpec(
        head="simcc", input_width=288, input_height=384, mean=IMAGENET_MEAN, std=IMAGENET_STD
    ),
    "rtmo-640": ModelSpec(head="one-stage", input_width=640, input_height=640, channels="bgr"),
}
"""The specs of the model families that are known."""
