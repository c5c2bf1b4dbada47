"""All checks and plans of a run, made before any video is opened."""

import logging
import zipfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from flow.engine import make_flow_engine
from pipelines import storage
from pipelines.config import BuildConfig
from pipelines.old_shard import Reuse
from pipelines.output_folder import check_same_settings
from pipelines.plan import Plan, plan_shards
from pipelines.reuse import open_old_output, plan_reuse
from pipelines.video_folder import VideoFolder, list_videos
from pose.backends import make_backend
from pose.measured import describe_estimator
from schemas.annotations.label_map_file import read_label_map
from schemas.annotations.read import read_annotations
from schemas.annotations.text_files import LocalTextFiles, TextFiles
from schemas.clip import AnnotationTable, RejectedRow
from schemas.clip_record import Provenance
from schemas.errors import ConfigError
from schemas.labels import LabelMap
from schemas.shards import default_num_shards
from schemas.versions import software_text
from schemas.video_extensions import is_video_path

_LOGGER = logging.getLogger("perfnet_prep")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRun:
    """A run that is ready to start."""

    config: BuildConfig
    labels: LabelMap
    provenance: Provenance
    plan: Plan
    reuse: Reuse | None = None
    """What is taken over from an earlier output."""


def prepare_run(config: BuildConfig) -> PreparedRun:
    """Read the annotations, list the videos, plan the shards and check the output folder.

    Raises:
        ConfigError: If anything cannot be used: annotation files, video folder, pose model,
            label map, an output folder that holds the result of other settings, or an earlier
            output of which nothing can be taken over.
    """
    _check_paths(config)
    _check_gpu_engine(config)
    pose_model = _describe_pose_model(config)
    if pose_model and config.pose_backend != "precomputed":
        _LOGGER.warning("%s", describe_estimator(*pose_model.split()))
    videos = _list_videos(config)
    table = _read_table(config, videos)
    old = open_old_output(config) if config.reuse else None
    num_shards = config.num_shards or default_num_shards(
        min(len(table.clips), config.limit or len(table.clips))
    )
    if old is not None:
        num_shards = old.num_shards
    plan = plan_shards(
        table,
        videos.sizes,
        num_shards=num_shards,
        limit=config.limit,
        unusable=videos.unusable,
    )
    check_same_settings(config, num_shards)
    provenance = Provenance(
        config_hash=config.content_hash(), software=software_text(), pose_model=pose_model
    )
    reuse = None
    if old is not None:
        reuse, summary = plan_reuse(old, config, provenance, plan)
        _LOGGER.warning("%s", summary)
    return PreparedRun(
        config=config, labels=table.labels, provenance=provenance, plan=plan, reuse=reuse
    )


def _check_paths(config: BuildConfig) -> None:
    """Raise ConfigError for places that cannot work."""
    for field in ("videos", "output", "annotations", "label_map", "reuse"):
        storage.check_reachable(field, getattr(config, field))
    output, videos = (
        each.rstrip("/") if storage.is_remote(each) else str(Path(each).resolve())
        for each in (config.output, config.videos)
    )
    if f"{output}/".startswith(f"{videos}/"):
        raise ConfigError(f"output must not lie in the videos folder {videos}, got {output}")


def check_engines(config: BuildConfig) -> str:
    """Return the name and hash of the pose model; "" if no poses are asked for.

    Raises:
        ConfigError: If the decoder, the flow engine or the pose back end cannot work here.
    """
    if config.decode.decoder == "decord" and find_spec("decord") is None:
        raise ConfigError("decode.decoder=decord needs the package decord; run: pip install decord")
    _check_gpu_engine(config)
    return _describe_pose_model(config)


def _check_gpu_engine(config: BuildConfig) -> None:
    """Raise ConfigError if the GPU engine cannot be loaded; warn if there is no GPU here."""
    if "flow" not in config.modalities or config.flow_engine != "tvl1-gpu":
        return
    make_flow_engine(config.flow_engine, config.flow)
    import torch

    if not torch.cuda.is_available():
        _LOGGER.warning(
            "flow_engine tvl1-gpu: no CUDA device on this machine; where a worker has none, "
            "flow is computed on its CPU"
        )


def _describe_pose_model(config: BuildConfig) -> str:
    """Name and hash of the pose model; "" if no poses are asked for."""
    if "pose" not in config.modalities:
        return ""
    model = config.pose.model
    if model is not None and model.is_file() and not zipfile.is_zipfile(model):
        raise ConfigError(f"pose.model must be a MediaPipe .task bundle, got another file, {model}")
    backend = make_backend(config.pose_backend, config.pose)
    try:
        return f"{backend.name} {backend.model_hash}"
    finally:
        backend.close()


def _list_videos(config: BuildConfig) -> VideoFolder:
    """Return what lies in the videos folder; raise ConfigError if there is nothing."""
    if storage.is_remote(config.videos):
        videos = VideoFolder(sizes=storage.list_remote_sizes(config.videos))
    else:
        videos = list_videos(config.videos, follow_links=config.follow_links)
    if not videos.sizes and not videos.unusable:
        raise ConfigError(f"videos must hold at least one file, got an empty {config.videos}")
    return videos


def _read_table(config: BuildConfig, videos: VideoFolder) -> AnnotationTable:
    """Return the annotation rows; where the folder is the annotation, all of its entries."""
    labels = None
    if config.label_map:
        labels = read_label_map(_text_files(config.label_map), config.label_map)
    is_folder = config.dataset == "folder"
    if is_folder and not videos.sizes:
        name, first = min(videos.unusable.items())
        rule = "videos must hold at least one file that may be read"
        raise ConfigError(f"{rule}, got only others, such as {name!r}: {first.detail}")
    table = read_annotations(
        config.dataset,
        config.videos if is_folder else config.annotations,
        split=config.split,
        label_map=labels,
        video_paths=sorted(videos.sizes),
        files=_text_files(config.annotations),
    )
    if not is_folder:
        return table
    rejected = [
        RejectedRow(clip_id=path, source=path, outcome=each.outcome, detail=each.detail)
        for path, each in videos.unusable.items()
        if is_video_path(path)
    ]
    return replace(table, rejected=(*table.rejected, *rejected))


def _text_files(path: str) -> TextFiles:
    return storage.RemoteTextFiles() if storage.is_remote(path) else LocalTextFiles()
