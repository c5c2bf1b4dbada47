"""What the generated world looks like, and its classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from perfnet.toy.figure import MOTIONS, Motion
from schemas.errors import ConfigError

ShardFormat = Literal["tfrecord", "parquet"]
Split = Literal["train", "val", "test"]
ClassCount = Literal[3, 12, 24]

CONTEXT_COLORS = {"red": (220, 40, 40), "blue": (40, 60, 220), "green": (40, 180, 60)}
"""RGB of the object in the background, by the name that labels have."""

_SPLIT_BY_CONTEXT: tuple[Motion, ...] = ("left_arm_raise", "right_arm_raise", "squat", "jump")


class ToyClass(NamedTuple):
    """One label."""

    motion: Motion
    context: str | None
    """Colour of the object in the background; None = any."""

    @property
    def text(self) -> str:
        """The label text."""
        return self.motion if self.context is None else f"{self.motion}_{self.context}"


def toy_classes(num_classes: ClassCount) -> tuple[ToyClass, ...]:
    """Return the classes in the order of the label map: of the code points of their texts.

    12: eight motions, of which four are split by a red or blue object. Flow does not see the
    object: it can be right on (4 + 8 / 2) / 12 = 2/3 of the clips at most. 24: every motion is
    split by three colours, the most for flow is 1/3. 3: two motions, one of them split; 2/3.
    """
    return tuple(sorted(_classes(num_classes), key=lambda each: each.text))


def flow_ceiling(num_classes: ClassCount) -> float:
    """Return the share of the clips that a network can get right without the object's colour."""
    motions = {each.motion for each in toy_classes(num_classes)}
    return len(motions) / num_classes


def _classes(num_classes: ClassCount) -> Iterator[ToyClass]:
    if num_classes == 3:
        yield ToyClass("squat", None)
        yield from (ToyClass("left_arm_raise", color) for color in ("red", "blue"))
        return
    for motion in MOTIONS:
        if num_classes == 24:
            yield from (ToyClass(motion, color) for color in CONTEXT_COLORS)
        elif motion in _SPLIT_BY_CONTEXT:
            yield from (ToyClass(motion, color) for color in ("red", "blue"))
        else:
            yield ToyClass(motion, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyConfig:
    """Generated clips of one moving figure each.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    seed: int = 0
    """Another seed gives other clips of the same kind."""
    num_classes: ClassCount = 12
    """3, 12 (four motions split by context, flow alone reaches 2/3 at most) or 24 (all split)."""
    train_per_class: int = 60
    """Clips of each class in OUTPUT/train; 0 = no such split."""
    val_per_class: int = 25
    """Clips of each class in OUTPUT/val; 0 = no such split."""
    test_per_class: int = 50
    """Clips of each class in OUTPUT/test; 0 = no such split."""
    num_frames: int = 10
    """Frames of a clip, at least 4."""
    size_px: int = 36
    """Height and width of a frame, at least 24."""
    pixel_noise: float = 6.0
    """Standard deviation of the noise of frames, in grey levels."""
    flow_noise_px: float = 0.15
    """Standard deviation of the noise of flow, in pixels."""
    missing_pose: float = 0.25
    """Share of the clips without a pose, drawn for each clip."""
    max_distractors: int = 3
    """Moving bars behind the figure: one less or so many; 0 = none."""
    max_pan_px: float = 0.6
    """Fastest movement of the camera along each axis, pixels per frame."""
    flow_bound_px: float = 8.0
    """Flow is stored from -bound to +bound."""
    jpeg_quality: int = 95
    """Quality of all images, 1 to 100; colour at full resolution."""
    formats: tuple[ShardFormat, ...] = ("tfrecord", "parquet")
    """Kinds of shards to write."""

    def __post_init__(self) -> None:
        least = {
            "train_per_class": 0, "val_per_class": 0, "test_per_class": 0, "num_frames": 4,
            "size_px": 24, "pixel_noise": 0, "flow_noise_px": 0, "max_distractors": 0,
            "max_pan_px": 0,
        }  # fmt: skip
        for name, number in least.items():
            if not getattr(self, name) >= number:
                raise ConfigError(f"{name} must be >= {number}, got {getattr(self, name)}")
        if self.num_classes not in (3, 12, 24):
            raise ConfigError(f"num_classes must be 3, 12 or 24, got {self.num_classes}")
        if not 0 <= self.missing_pose <= 1:
            raise ConfigError(f"missing_pose must be 0 to 1, got {self.missing_pose}")
        if not self.flow_bound_px > 0:
            raise ConfigError(f"flow_bound_px must be > 0, got {self.flow_bound_px}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigError(f"jpeg_quality must be 1 to 100, got {self.jpeg_quality}")
        if not self.formats or len(set(self.formats)) != len(self.formats):
            raise ConfigError(f"formats must name at least one, each once, got {self.formats}")

    def clips_per_class(self) -> dict[Split, int]:
        """Return the number of clips of each class, by split."""
        return {
            "train": self.train_per_class,
            "val": self.val_per_class,
            "test": self.test_per_class,
        }
