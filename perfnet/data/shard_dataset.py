"""A torch data set over the shards of `perfnet-prep`: one augmented clip per index."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from perfnet.data.augment import (
    Crop,
    View,
    ViewConfig,
    central_view,
    clip_rng,
    place_crop,
    random_view,
)
from perfnet.data.pixel_memory import empty_pixels
from perfnet.data.shard_folder import open_shard_folder
from perfnet.data.streams import (
    load_flow,
    load_pa,
    load_rgb,
    load_rgb_and_pose,
    load_stored_pose,
)
from perfnet.modality import Modality, channels_of
from renderers.pose import PoseRenderConfig
from schemas.clip_record import ClipRecord, Stream
from schemas.errors import ConfigError, PrepError, RecordError, ShardError
from schemas.labels import LabelMap
from schemas.outcome import Outcome
from schemas.shard_reader import ShardReader, open_shard

ShardFormat = Literal["tfrecord", "parquet"]
OnCorrupt = Literal["error", "skip"]

UInt8 = npt.NDArray[np.uint8]

_OPEN_SHARDS = 64  # their indices of records are kept


class SampleKey(NamedTuple):
    """Which sample: a clip, the epoch that seeds its augmentation, and the central view."""

    clip: int
    epoch: int = 0
    view: int = 0


class ClipSample(TypedDict, total=False):
    """One sample; a stream that was not asked for is absent."""

    clip_id: str
    epoch: int
    """The epoch that seeded its augmentation."""
    label: int
    """-1 without a label."""
    rgb: torch.Tensor
    """uint8 [T, H, W, 3], in stored colours: `to_model_input` applies `contrast` and `offset`."""
    flow: torch.Tensor
    """uint8 [T, H, W, 2], codes of (dx, dy); 0 = -bound, 255 = +bound."""
    pose: torch.Tensor
    """uint8 [T, H, W, 3], frames with poses drawn on them. Frames drawn here have the contrast and
    brightness of the view already, since the bars must not; frames drawn before have neither."""
    pa: torch.Tensor
    """uint8 [T, H, W, 1], codes of persistence of appearance; 0 = no change, 255 = bound."""
    contrast: float
    """Factor of the grey levels of `rgb`; absent if the view changes no colours."""
    offset: float
    """Added to the grey levels after that."""
    corrupt: str
    """Why the record cannot be read, instead of streams (`on_corrupt="skip"`)."""


class ClipSamples(list[ClipSample]):
    """Samples whose streams are the rows of batches: `streams[name][n]` is `self[n][name]`."""

    def __init__(
        self, samples: Sequence[ClipSample], streams: dict[Modality, torch.Tensor]
    ) -> None:
        super().__init__(samples)
        self.streams = streams


class ShardDataset(Dataset[ClipSample]):
    """Clips of a finished output folder of `perfnet-prep build`.

    All streams of a sample share window, crop and mirror flag. The augmentation of a clip depends
    on seed, epoch and clip id alone, not on workers or order.

    Args:
        folder: Local output folder.
        modalities: Streams of a sample.
        view: Window, crop and augmentation.
        seed: Seed of the augmentation.
        shard_format: Kind of shards to read; None = Parquet if there, else TFRecord.
        on_corrupt: A record that cannot be read is an error, or a sample that says so in
            `corrupt`, which `collate_clips` drops and names.

    Raises:
        ConfigError: If the folder cannot be used or does not hold what is asked for.
        ShardError: If its metadata is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        modalities: Sequence[Modality] = ("rgb",),
        view: ViewConfig | None = None,
        seed: int = 0,
        shard_format: ShardFormat | None = None,
        on_corrupt: OnCorrupt = "error",
    ) -> None:
        self._folder = open_shard_folder(Path(folder))
        self._modalities = tuple(modalities)
        self._view = view or ViewConfig()
        self._seed = seed
        self._on_corrupt = on_corrupt
        run = self._folder.run
        self._format = shard_format or ("parquet" if "parquet" in run.formats else "tfrecord")
        if self._format not in run.formats:
            have = ", ".join(run.formats)
            raise ConfigError(
                f"shard_format must be one that {folder} has, {have}, got {self._format}"
            )
        self._streams = _streams_of(self._modalities, self._view, run.config)
        self._render = self._view.render or PoseRenderConfig(**run.config["render"])
        self._readers: dict[int, ShardReader] = {}
        self._is_verified = np.zeros(len(self._folder), np.bool_)  # by this process

    def __len__(self) -> int:
        """Return the number of samples: clips times views."""
        return len(self._folder) * self._view.num_views

    @property
    def labels(self) -> LabelMap:
        """Label texts in index order."""
        return self._folder.run.labels

    @property
    def label_indices(self) -> Sequence[int]:
        """Label index of every clip, -1 without one."""
        indices: list[int] = self._folder.label_indices.tolist()
        return indices

    @property
    def clip_ids(self) -> Sequence[str]:
        """Id of every clip."""
        ids: list[str] = self._folder.clip_ids.to_pylist()
        return ids

    @property
    def shard_sizes(self) -> list[int]:
        """Number of clips in each shard that has any, in the order of the clips."""
        _, counts = np.unique(self._folder.shards, return_counts=True)
        return [int(count) for count in counts]

    @property
    def fingerprint(self) -> str:
        """Hash of the clips, their order and the settings that made them, not of the folder."""
        folder, info = self._folder, self._folder.run.info
        digest = blake2b(digest_size=16)
        text = f"{info.get('config_hash')}\n{self._format}\n{self.labels.to_text()}"
        digest.update(text.encode())
        digest.update("\n".join(self.clip_ids).encode())
        for array in (folder.shards, folder.num_frames, folder.label_indices):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def __getitem__(self, key: int | SampleKey) -> ClipSample:
        """Return one sample.

        Args:
            key: A `SampleKey`, or a plain number of epoch 0: clips one after the other, all of the
                first view, then all of the next.

        Raises:
            RecordError, ShardError: If the record cannot be read and `on_corrupt="error"`.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | SampleKey]) -> "ClipSamples":
        """Return samples whose streams lie one after the other, ready to be a batch.

        `torch.utils.data.DataLoader` calls it for every batch.

        Args:
            keys: As for one sample.

        Raises:
            RecordError, ShardError: As for one sample.
        """
        shapes = self.batch_shapes(len(keys))
        shared = get_worker_info() is not None
        streams = {name: empty_pixels(shape, shared=shared) for name, shape in shapes.items()}
        samples = self.load_into(keys, streams)
        for place, sample in enumerate(samples):
            if "corrupt" not in sample:
                rows: Any = {name: stream[place] for name, stream in streams.items()}
                sample.update(rows)
        return ClipSamples(samples, streams)

    def batch_shapes(self, batch_size: int) -> dict[Modality, tuple[int, ...]]:
        """Return the shape of every stream of a batch: [B, T, H, W, C]."""
        view = self._view
        size = (batch_size, view.num_frames, view.height, view.width)
        return {name: (*size, channels_of(name)) for name in self._modalities}

    def load_into(
        self, keys: Sequence[int | SampleKey], streams: Mapping[Modality, torch.Tensor]
    ) -> list[ClipSample]:
        """Fill streams with samples; return these without their streams.

        Args:
            keys: As for one sample.
            streams: uint8, of the shapes of `batch_shapes`, on the CPU. Rows of records that
                cannot be read hold nothing of use.

        Raises:
            RecordError, ShardError: As for one sample.
        """
        arrays = {name: stream.numpy() for name, stream in streams.items()}
        return [
            self._sample(self._key_of(key), {name: rows[place] for name, rows in arrays.items()})
            for place, key in enumerate(keys)
        ]

    def _key_of(self, key: int | SampleKey) -> SampleKey:
        if isinstance(key, SampleKey):
            return key
        view, clip = divmod(int(key), len(self._folder))
        if not 0 <= view < self._view.num_views:
            raise IndexError(f"index must be < {len(self)}, got {key}")
        return SampleKey(clip=clip, view=view)

    def _sample(self, key: SampleKey, arrays: dict[Modality, UInt8]) -> ClipSample:
        """A sample without its streams, which are written into the arrays."""
        clip_id = self._folder.clip_ids[key.clip].as_py()
        label = int(self._folder.label_indices[key.clip])
        sample = ClipSample(clip_id=clip_id, epoch=key.epoch, label=label)
        try:
            view = self._load(key, clip_id, arrays)
        except PrepError as error:
            if self._on_corrupt == "error":
                raise
            sample["corrupt"] = str(error)
        else:
            if self._view.may_recolor:
                sample["contrast"], sample["offset"] = view.contrast, view.color_offset
        return sample

    def __getstate__(self) -> dict[str, Any]:
        """Open shards stay in their process, and what it has verified."""
        is_verified = np.zeros_like(self._is_verified)
        return {**self.__dict__, "_readers": {}, "_is_verified": is_verified}

    def _load(self, key: SampleKey, clip_id: str, arrays: dict[Modality, UInt8]) -> View:
        config, num_frames = self._view, int(self._folder.num_frames[key.clip])
        if config.is_random:
            rng = clip_rng(self._seed, key.epoch, clip_id)
            view = random_view(config, num_frames=num_frames, rng=rng)
        else:
            view = central_view(config, num_frames=num_frames, view=key.view)
        frames, inverse = np.unique(view.frames, return_inverse=True)
        record = self._read(key.clip, clip_id, frames.tolist())
        crop = place_crop(view, config, height=record.height, width=record.width)
        is_short = len(frames) < len(inverse)
        filled = {name: array[: len(frames)] for name, array in arrays.items()}
        try:
            self._load_streams(record, view, crop, filled)
        except ValueError as error:
            raise RecordError(clip_id, Outcome.FAILED, str(error)) from error
        if is_short:  # repeat what was decoded once
            for name, array in arrays.items():
                array[:] = filled[name][inverse]
        return view

    def _load_streams(
        self, record: ClipRecord, view: View, crop: Crop, arrays: dict[Modality, UInt8]
    ) -> None:
        config = self._view
        if "pose" in arrays and config.pose_source == "render":
            load_rgb_and_pose(
                record,
                view,
                crop,
                render=self._render,
                mirror=config.pose_mirror,
                rgb=arrays.get("rgb"),
                pose=arrays["pose"],
            )
        elif "rgb" in arrays:
            load_rgb(record, view, crop, arrays["rgb"])
        if "pose" in arrays and config.pose_source == "stored":
            load_stored_pose(record, view, crop, arrays["pose"])
        if "flow" in arrays:
            load_flow(record, view, crop, arrays["flow"])
        if "pa" in arrays:
            load_pa(record, view, crop, arrays["pa"])

    def locate(self, clip: int) -> tuple[Path, int]:
        """Return the shard that holds a clip, and the clip's place in it."""
        shard = int(self._folder.shards[clip])
        path = self._folder.path / self._folder.run.shard_name(shard, self._format)
        return path, int(self._folder.places[clip])

    def _read(self, index: int, clip_id: str, frames: list[int]) -> ClipRecord:
        shard = int(self._folder.shards[index])
        path, place = self.locate(index)
        reader = self._readers.get(shard)
        if reader is None:
            if len(self._readers) >= _OPEN_SHARDS:
                self._readers.pop(next(iter(self._readers)))
            reader = self._readers[shard] = open_shard(path)
        record = reader.read(
            place,
            streams=self._streams,
            frames=frames,
            is_verified=bool(self._is_verified[index]),
        )
        self._is_verified[index] = True
        if record.clip_id != clip_id:
            raise ShardError(f"shard {shard} must hold {clip_id} at {place}, got {record.clip_id}")
        return record


def _streams_of(
    modalities: Sequence[Modality], view: ViewConfig, run_config: dict[str, Any]
) -> tuple[Stream, ...]:
    """Streams of a record that the modalities are made of.

    Raises:
        ConfigError: If the shards lack one.
    """
    if not modalities or len(set(modalities)) != len(modalities):
        rule = "modalities must name at least one, each once"
        raise ConfigError(f"{rule}, got {list(modalities)}")
    stored = tuple(run_config["modalities"])
    needed: dict[str, None] = {}
    for modality in modalities:
        streams: tuple[str, ...] = (modality,)
        if modality == "pose":
            streams = ("rgb", "poses") if view.pose_source == "render" else ("pose_overlay",)
        needed.update(dict.fromkeys(streams))
        for source in {"rgb" if stream == "rgb" else modality for stream in streams}:
            if source not in stored:
                have = ", ".join(stored)
                raise ConfigError(
                    f"modality {modality} must be in the shards, got shards of {have}; "
                    f"build them with --modalities {' '.join((*stored, source))}"
                )
    _check_pose_storage(needed, view, run_config)
    return tuple(needed)  # type: ignore[arg-type]


def _check_pose_storage(
    needed: dict[str, None], view: ViewConfig, run_config: dict[str, Any]
) -> None:
    """Raise ConfigError if poses are stored only in the form that is not wanted."""
    storage = run_config.get("pose_storage", "both")
    for stream, lacking, other in (
        ("poses", "overlay", "stored"),
        ("pose_overlay", "keypoints", "render"),
    ):
        if stream in needed and storage == lacking:
            raise ConfigError(
                f"view.pose_source must be {other} with shards of --pose-storage {storage}, got "
                f"{view.pose_source}; or build them again with --reuse and --pose-storage both"
            )
