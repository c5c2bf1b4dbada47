"""Everything that `perfnet-prep build` can be told."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from flow.engine import FlowConfig, FlowEngineName
from flow.pa import PaConfig, describe_pa_weights
from pipelines.streams import streams_in
from pose.backends import PoseBackendName, PoseConfig
from renderers.pose import PoseRenderConfig
from schemas.annotations.read import DatasetName
from schemas.clip_record import SCHEMA_VERSION
from schemas.errors import ConfigError
from schemas.sealed_json import hash_json
from video.decode import DecodeConfig

Modality = Literal["rgb", "flow", "pose", "pa"]
ShardFormat = Literal["tfrecord", "parquet"]

_MIN_MEMORY_MIB = 512
PoseStorage = Literal["overlay", "keypoints", "both"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JpegConfig:
    """JPEG quality (1 to 100) of each stream."""

    rgb_quality: int = 90
    """Frames; 4:2:0 chroma."""
    pose_quality: int = 90
    """Frames with poses drawn on them; 4:4:4 chroma keeps thin coloured bars clean."""
    flow_quality: int = 95
    """Flow: two grey images (Parquet) or one 4:4:4 image (TFRecord)."""
    pa_quality: int = 90
    """Persistence of appearance: a grey image."""

    def __post_init__(self) -> None:
        for name in ("rgb_quality", "pose_quality", "flow_quality", "pa_quality"):
            if not 1 <= getattr(self, name) <= 100:
                raise ConfigError(f"jpeg.{name} must be 1 to 100, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Turn annotated videos into shards of RGB, flow and rendered pose."""

    dataset: DatasetName
    """Format of the annotations: an official data set, a plain CSV, or a folder per class."""
    annotations: str = ""
    """Annotation file or folder: the Kinetics CSV, `ucfTrainTestlist`,
    `testTrainMulti_7030_splits` or a CSV `video,label[,start,end,split]`. Not for `folder`."""
    videos: str
    """Folder of the videos, in any of the usual layouts."""
    follow_links: bool = False
    """Read files through links that lead out of the folder of the videos."""
    split: str
    """Split to build: train, val or test; train1, test1 ... train3, test3 for UCF101 and HMDB51."""
    output: str
    """Folder of the result: a local path or one that Apache Beam can write (gs://...)."""
    modalities: tuple[Modality, ...] = ("rgb", "flow", "pose")
    """Streams to store; `pa` is persistence of appearance, a quick cue of where something moves."""
    pose_storage: PoseStorage = "both"
    """What to store of the pose: `overlay` is the frames with poses drawn on them, `keypoints` the
    poses themselves, from which they can be drawn on `rgb` when reading."""
    formats: tuple[ShardFormat, ...] = ("tfrecord", "parquet")
    """Kinds of shards to write, both in the same pass."""
    num_shards: int | None = None
    """Number of shards; by default one per 32 clips, but at least 16 if there are as many clips, or
    as many as the output given with --reuse has."""
    workers: int = 1
    """Clips worked on at a time on this machine, or on each machine of Dataflow, each in a process
    of its own."""
    accelerator: str = ""
    """GPU of each machine of Dataflow, as `type:nvidia-tesla-t4;count:1;install-nvidia-driver`."""
    limit: int | None = None
    """Build only the first N clips of the split; rejected rows keep their place in the ledger."""
    label_map: str = ""
    """File with one label per line in index order; by default the sorted labels of the data set."""
    reuse: str = ""
    """Finished output of an earlier run; what it holds with the same settings is taken over and
    not computed again. The result is the same without it."""
    pose_backend: PoseBackendName = "mediapipe"
    """Estimator of the poses, or `precomputed` to read them (--pose.poses)."""
    flow_engine: FlowEngineName = "tvl1"
    """Optical flow: `tvl1` is TV-L1, fast (--flow.tvl1.mode); `tvl1-gpu` is the same on a CUDA
    device; `opencv` is TV-L1 as OpenCV has it, slow; `dis` and `farneback` are not TV-L1."""
    strict: bool = False
    """Leave out clips whose file declares more frames than can be decoded."""
    clip_timeout_seconds: float = 3600.0
    """Wall-clock limit of one clip; its process is stopped and the run goes on."""
    clip_cpu_seconds: float = 7200.0
    """Limit of the CPU time of one clip, all its threads together."""
    clip_memory_mib: int = 4096
    """Limit of the resident memory of the process that works on a clip, at least 512."""
    clip_disk_mib: int = 8192
    """Largest video that is copied from remote storage; each worker holds one copy at a time."""
    max_failed_fraction: float = 0.05
    """Exit with status 1 if a larger share of the rows fails."""
    retry_failed: bool = False
    """Build shards again that hold a clip with outcome timeout, crashed or failed."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """Frames."""
    flow: FlowConfig = field(default_factory=FlowConfig)
    """Flow."""
    pa: PaConfig = field(default_factory=PaConfig)
    """Persistence of appearance."""
    pose: PoseConfig = field(default_factory=PoseConfig)
    """Poses."""
    render: PoseRenderConfig = field(default_factory=PoseRenderConfig)
    """How poses are drawn."""
    jpeg: JpegConfig = field(default_factory=JpegConfig)
    """JPEG quality."""

    def __post_init__(self) -> None:
        for name in ("annotations", "videos", "output", "label_map", "reuse"):
            if getattr(self, name).startswith("~"):
                object.__setattr__(self, name, str(Path(getattr(self, name)).expanduser()))
        self._check_numbers()
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.split, re.ASCII):
            rule = "split must be letters, digits, '.', '_' and '-', as it is part of file names"
            raise ConfigError(f"{rule}, got {self.split!r}")
        if (self.dataset == "folder") == bool(self.annotations):
            rule = "must not be given with" if self.annotations else "must be given unless"
            raise ConfigError(f"annotations {rule} dataset=folder, got {self.annotations!r}")
        for name in ("modalities", "formats"):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) != len(chosen):
                raise ConfigError(f"{name} must name at least one, each once, got {list(chosen)}")

    def _check_numbers(self) -> None:
        for name in ("num_shards", "workers", "limit", "clip_disk_mib"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be >= 1, got {value}")
        for name in ("clip_timeout_seconds", "clip_cpu_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")
        if self.clip_memory_mib < _MIN_MEMORY_MIB:
            rule = f"clip_memory_mib must be >= {_MIN_MEMORY_MIB}, what the libraries need"
            raise ConfigError(f"{rule}, got {self.clip_memory_mib}")
        if not 0 <= self.max_failed_fraction <= 1:
            raise ConfigError(f"max_failed_fraction must be 0 to 1, got {self.max_failed_fraction}")

    @property
    def streams(self) -> frozenset[str]:
        """Fields of `ClipRecord` that the run stores in any of its formats."""
        streams = (
            streams_in(each, modalities=self.modalities, pose_storage=self.pose_storage)
            for each in self.formats
        )
        return frozenset[str]().union(*streams)

    def content_settings(self) -> dict[str, Any]:
        """Return, JSON-ready, every setting that can change the bytes of a record.

        Settings of `pa` are there only if it is stored: other records are as they were before it.

        Raises:
            ConfigError: If pa.weights cannot be read.
        """
        values = asdict(self)
        stages = ("decode", "flow", "pose", "render", "jpeg")
        names = (
            *("dataset", "split", "modalities", "pose_storage", "strict", "pose_backend"),
            *("flow_engine", *stages),
        )
        settings: dict[str, Any] = {name: values[name] for name in names}
        settings["modalities"] = sorted(self.modalities)
        settings["pose"] = self._pose_settings()
        pa_quality = settings["jpeg"].pop("pa_quality")
        if "pa" in self.modalities:
            settings["pa"] = {
                "bound": self.pa.bound,
                "quality": pa_quality,
                "weights": describe_pa_weights(self.pa),
            }
        settings["schema_version"] = SCHEMA_VERSION
        return settings

    def _pose_settings(self) -> dict[str, Any]:
        """Options of the back end that is used, but for where its models lie.

        The hash of the models is part of every shard's key.
        """
        places = ("model", "detector", "estimator")
        values = asdict(self.pose.limited())
        settings = {k: v for k, v in values[self.pose_backend].items() if k not in places}
        if self.pose.fill_gaps:
            settings["fill_gaps"] = self.pose.fill_gaps
        if self.pose.smooth:
            settings["smooth"] = values["one_euro"]
        return settings

    def content_hash(self) -> str:
        """Return a short hash of `content_settings`, the `config_hash` of the records."""
        return hash_json(self.content_settings())
