"""Which trainings a study makes: runs, presets, and what is compared."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from perfnet.data.augment import ViewConfig
from perfnet.modality import Modality
from perfnet.models.registry import ModelConfig
from perfnet.toy.config import ToyConfig
from perfnet.training.distill import DistillMode
from renderers.pose import PoseRenderConfig
from schemas.errors import ConfigError

PresetName = Literal["smoke", "reduced", "full"]
Backbone = Literal["r3d50g", "s3dg"]


class Run(NamedTuple):
    """One training of a seed."""

    modality: Modality = "rgb"
    teachers: tuple[str, ...] = ()
    """Runs of the same seed; () = labels alone."""
    mode: DistillMode = "separate"
    pull: float = 1.0
    """Factor of the distillation weight."""
    seed_offset: int = 0
    """Added to the seed of initialisation and order, for a network that differs by chance alone."""
    on_black: bool = False
    """Poses drawn on black."""
    shuffles_labels: bool = False
    """The teachers' logits change places: class k of the teachers is another class."""


RUNS = {
    "RGB": Run(),
    "RGB'": Run(seed_offset=1000),
    "Flow": Run("flow"),
    "Pose": Run("pose"),
    "Pose(BB)": Run("pose", on_black=True),
    "S<-F": Run(teachers=("Flow",)),
    "S<-P": Run(teachers=("Pose",)),
    "SL": Run(teachers=("Flow", "Pose")),
    "UL": Run(teachers=("Flow", "Pose"), mode="unified"),
    "S<-RGB'": Run(teachers=("RGB'",), pull=2.0),
    "S<-shuffled": Run(teachers=("Flow", "Pose"), shuffles_labels=True),
}
"""Every training by name. SL pulls at the mean of its teachers with twice the weight, so that
S<-RGB' with one teacher pulls with twice the weight too."""

FUSIONS = {
    "RGB+RGB'": ("RGB", "RGB'"),
    "RGB+Flow": ("RGB", "Flow"),
    "RGB+Pose": ("RGB", "Pose"),
    "RGB+Flow+Pose": ("RGB", "Flow", "Pose"),
}
"""Sums of logits."""

COMPARISONS = {
    "D1": ("SL", "RGB"),
    "D2": ("RGB+Flow+Pose", "RGB"),
    "D3": ("SL", "S<-RGB'"),
    "D4": ("SL", "UL"),
}
"""The primary tests, fixed before any run: mean of the first minus the second is 0."""

_FOLDERS = {"RGB'": "rgb-again", "Pose(BB)": "pose-on-black", "S<-F": "student-of-flow",
            "S<-P": "student-of-pose", "SL": "student-separate", "UL": "student-unified",
            "S<-RGB'": "student-of-rgb", "S<-shuffled": "student-of-shuffled"}  # fmt: skip


def folder_of(run_name: str) -> str:
    """Return the name of a run's folder."""
    return _FOLDERS.get(run_name, run_name.lower())


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan:
    """What a study trains and with what settings.

    Raises:
        ConfigError: If a run lacks its teachers, or there is nothing to choose the weight by.
    """

    toy: ToyConfig
    """The world; `seed` is that of validation and test clips, which all seeds share."""
    seeds: tuple[int, ...]
    """One draw of training clips and one initialisation each; the units of the tests."""
    runs: tuple[str, ...]
    """Names in `RUNS`, teachers before their students."""
    weights: tuple[float, ...]
    """Distillation weights; of several, the one with the best validation accuracy of SL."""
    tuning_seeds: tuple[int, ...] = ()
    """Seeds that choose the weight; no part of the tests."""
    num_frames: int = 8
    """Frames that a network sees."""
    crop_px: int = 32
    """Height and width that a network sees."""
    epochs: int
    batch_size: int = 32
    learning_rate: float = 0.1
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(width_multiplier=0.125, depth_multiplier=0.34)
    )

    def __post_init__(self) -> None:
        for place, name in enumerate(self.runs):
            missing = set(RUNS[name].teachers) - set(self.runs[:place])
            if missing:
                raise ConfigError(f"runs must hold the teachers of {name} first, got {self.runs}")
        if (len(self.weights) > 1) != bool(self.tuning_seeds):
            raise ConfigError(
                "tuning_seeds must be given with several weights and only then, "
                f"got {self.tuning_seeds} with {self.weights}"
            )
        if set(self.seeds) & set(self.tuning_seeds):
            raise ConfigError(f"tuning_seeds must not be seeds, got {self.tuning_seeds}")

    @property
    def steps(self) -> int:
        """Steps of one training."""
        num_clips = self.toy.train_per_class * self.toy.num_classes
        return max(1, self.epochs * num_clips // self.batch_size)


def plan_of(preset: PresetName, backbone: Backbone = "r3d50g") -> StudyPlan:
    """Return a preset.

    Args:
        preset: `full` for a GPU, `reduced` for two cores, `smoke` to see that all works.
        backbone: R3D50-G or S3D-G, both small.
    """
    models = {
        "r3d50g": ModelConfig(width_multiplier=0.125, depth_multiplier=0.34),
        "s3dg": ModelConfig(name="s3dg", width_multiplier=0.25),
    }
    model = models[backbone]
    if preset == "full":
        return StudyPlan(
            toy=ToyConfig(
                seed=EVALUATION_SEED, num_classes=24, train_per_class=100, val_per_class=25,
                test_per_class=50, num_frames=14, size_px=44, formats=("parquet",),
            ),
            seeds=tuple(range(10)),
            runs=tuple(RUNS),
            weights=(24 / 600, 0.1, 1.0),
            tuning_seeds=(100, 101),
            num_frames=12,
            crop_px=40,
            epochs=40,
            model=model,
        )  # fmt: skip
    if preset == "reduced":
        return StudyPlan(
            toy=ToyConfig(
                seed=EVALUATION_SEED, train_per_class=20, val_per_class=0, pixel_noise=100.0,
                formats=("parquet",),
            ),
            seeds=tuple(range(5)),
            runs=("RGB", "Flow", "Pose", "SL", "UL"),
            weights=(12 / 600,),
            epochs=60,
            model=model,
        )  # fmt: skip
    return StudyPlan(
        toy=ToyConfig(
            seed=EVALUATION_SEED, num_classes=3, train_per_class=32, val_per_class=0,
            test_per_class=16, formats=("parquet",),
        ),
        seeds=(0,),
        runs=("RGB", "Flow", "Pose", "SL", "UL"),
        weights=(3 / 600,),
        epochs=10,
        batch_size=16,
        model=model,
    )  # fmt: skip


EVALUATION_SEED = 10_000
"""Validation and test clips are drawn with this seed, training clips with that of the run."""


def view_of(plan: StudyPlan, run: Run, *, is_random: bool) -> ViewConfig:
    """Return how clips are cut: never mirrored, as labels tell left from right.

    Poses are those that the shards hold as drawn: drawing them again for every batch takes longer
    than the rest of a step. Only on black they are drawn anew.
    """
    return ViewConfig(
        num_frames=plan.num_frames,
        height=plan.crop_px,
        width=plan.crop_px,
        is_random=is_random,
        mirror=False,
        pose_source="render" if run.on_black else "stored",
        render=PoseRenderConfig(background="black") if run.on_black else None,
    )
