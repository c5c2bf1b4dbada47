"""See what a build would store of one video, before the build."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipelines import storage
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from pipelines.prepare import check_engines
from pipelines.preview_config import PreviewConfig
from pipelines.process_clip import ProcessedClip
from pipelines.side_by_side import side_by_side_frames
from schemas.clip import Clip
from schemas.clip_record import Provenance
from schemas.errors import ConfigError
from video.write import check_video_path, write_video


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A finished preview."""

    clip: ProcessedClip
    """What a build would have stored, and what it would have said about it."""
    width: int
    """Of the video that was written, in pixels."""
    height: int


def make_preview(config: PreviewConfig) -> Preview:
    """Process one video as `build` does, in a process of its own, and show the streams as a video.

    Args:
        config: The video, the piece of it, and the settings of the build.

    Raises:
        ConfigError: If a setting or path cannot be used.
        RecordError: If a build would have no record of the video: unreadable, crashed, ...
    """
    build = config.build_config()
    _check_paths(config)
    provenance = Provenance(
        config_hash=build.content_hash(), software="", pose_model=check_engines(build)
    )
    path = config.video if storage.is_remote(config.video) else str(Path(config.video).absolute())
    size = storage.size_of(path)
    video = storage.video_source(path, num_bytes=size, max_mib=build.clip_disk_mib)
    processor = IsolatedProcessor(build, provenance)
    with closing(processor), Console(stderr=True).status("decoding, flow and poses ..."):
        clip = processor.process(_task(config), video)
    frames = side_by_side_frames(clip.record, render=config.render)
    _, width, height = write_video(Path(config.output), frames, fps=clip.record.fps)
    return Preview(clip=clip, width=width, height=height)


def describe_preview(preview: Preview, output: str) -> str:
    """Return what was made, for a person: one line, and one for what is wrong with the video.

    Args:
        preview: The preview.
        output: Its file.
    """
    record, facts = preview.clip.record, preview.clip.facts
    people = f"{facts.num_people:.1f} people per frame, " if record.poses is not None else ""
    spent = ", ".join(f"{stage} {value:.1f} s" for stage, value in preview.clip.seconds.items())
    line = (
        f"{output}: {record.num_frames} frames at {record.fps} fps of {record.width}x"
        f"{record.height} px, shown in {preview.width}x{preview.height}; {people}{spent}"
    )
    return f"{line}\nthe video: {preview.clip.detail}" if preview.clip.detail else line


def _check_paths(config: PreviewConfig) -> None:
    storage.check_reachable("video", config.video)
    if storage.is_remote(config.output):
        raise ConfigError(f"output must be a local file, got {config.output}")
    check_video_path("output", Path(config.output))
    if storage.is_remote(config.video):
        return
    video = Path(config.video)
    if not video.is_file():
        raise ConfigError(f"video must be an existing file, got {config.video}")
    if Path(config.output).exists() and video.samefile(config.output):
        raise ConfigError(f"output must be another file than the video, got {config.output}")


def _task(config: PreviewConfig) -> ClipTask:
    name = Path(config.video).name
    clip = Clip(
        clip_id=Path(name).stem,
        dataset="folder",
        split="preview",
        label_text=None,
        media_id=Path(name).stem,
        relative_path=name,
        start_seconds=config.start_seconds,
        end_seconds=config.stop_seconds,
        source="",
    )
    return ClipTask(clip=clip, label_index=-1, path=name, size_bytes=0, is_trimmed=False)
