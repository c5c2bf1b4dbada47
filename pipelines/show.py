"""Say what a finished output holds of one clip, and show it."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipelines import storage
from pipelines.finished_output import FinishedOutput, open_output
from pipelines.side_by_side import contact_sheet, side_by_side_frames
from renderers.pose import PoseRenderConfig
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from schemas.ledger import LedgerRow
from video.write import VIDEO_SUFFIX, check_video_path, write_image, write_video

IMAGE_SUFFIX = ".png"

_MAX_SUGGESTIONS = 5
_MAX_LENGTH_DIFFERENCE = 3  # of a misspelt id; keeps the search quick in large ledgers

_MIN_LIKENESS = 0.7  # 1 = equal


def show_clip(folder: str, clip_id: str, output: str = "") -> str:
    """Return everything that an output folder says about a clip, as lines for a person.

    Args:
        folder: Output folder of `perfnet-prep build`, local or remote.
        clip_id: The clip, written or not.
        output: Also write this file: all frames with the streams side by side (.mp4), or a
            contact sheet (.png). "" writes none.

    Raises:
        ConfigError: If there is no such clip, with those of similar ids; if the clip has no
            record to write a file of; or if the file cannot be written.
        ShardError: If a file of the folder is damaged.
    """
    if output:
        _check_output(output)
    finished = open_output(folder)
    rows = [row for row in finished.ledger if row.clip_id == clip_id]
    if not rows:
        raise ConfigError(
            f"clip_id must be in the ledger of {folder}, got {clip_id}; "
            + _suggestion(clip_id, [row.clip_id for row in finished.ledger])
        )
    lines = [f"clip {clip_id}"]
    written = next((row for row in rows if row.is_in_shard), None)
    if written is not None or output:
        record = finished.read_record(clip_id)
        lines += ["files", *_describe_shards(finished, written), *_describe_record(record)]
        if output:
            lines.append(_line("shown in", _write(record, finished, output)))
    for row in rows:
        lines += ["ledger", *_describe_row(row)]
    return "\n".join(lines)


def _check_output(output: str) -> None:
    if storage.is_remote(output):
        raise ConfigError(f"output must be a local file, got {output}")
    path = Path(output)
    if path.suffix.lower() == VIDEO_SUFFIX:
        check_video_path("output", path)
    elif path.suffix.lower() != IMAGE_SUFFIX:
        raise ConfigError(f"output must end in {VIDEO_SUFFIX} or {IMAGE_SUFFIX}, got {output}")
    elif path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"output must be a file in an existing folder, got {output}")


def _write(record: ClipRecord, finished: FinishedOutput, output: str) -> str:
    """Write the picture or video of a clip; returns what it is."""
    render = PoseRenderConfig(**finished.config["render"])
    if Path(output).suffix.lower() == IMAGE_SUFFIX:
        sheet = contact_sheet(record, render=render)
        write_image(Path(output), sheet)
        return f"{output}, {sheet.shape[1]}x{sheet.shape[0]}"
    frames = side_by_side_frames(record, render=render)
    number, width, height = write_video(Path(output), frames, fps=record.fps)
    return f"{output}, {number} frames of {width}x{height}"


def _suggestion(clip_id: str, known: list[str]) -> str:
    """Ids that may have been meant: those that hold the text, then those spelt alike."""
    holding = [each for each in known if clip_id.casefold() in each.casefold()]
    length = len(clip_id)
    alike = [each for each in known if abs(len(each) - length) <= _MAX_LENGTH_DIFFERENCE]
    close = difflib.get_close_matches(clip_id, alike, n=_MAX_SUGGESTIONS, cutoff=_MIN_LIKENESS)
    found = list(dict.fromkeys([*close, *holding]))[:_MAX_SUGGESTIONS]
    if found:
        return f"did you mean {', '.join(found)}?"
    return f"it has {len(known)} rows, none with a similar id"


def _line(name: str, value: object) -> str:
    return f"  {name:<16}{value}"


def _describe_record(record: ClipRecord) -> Iterator[str]:
    label = f"{record.label_index} {record.label_text}" if record.label_index >= 0 else "none"
    yield _line("label", label)
    yield _line("data set", f"{record.dataset}, split {record.split}")
    yield _line("video", f"{record.video_path} (media id {record.media_id})")
    start, end = record.start_us / 1e6, record.end_us / 1e6
    yield _line("clip", f"{start:.3f} to {end:.3f} s of the untrimmed video")
    yield _line(
        "frames",
        f"{record.num_frames} at {record.fps} fps, {record.width}x{record.height} px"
        + (", truncated" if record.is_truncated else ""),
    )
    yield _line("source frames", _source_frames(record))
    yield "streams"
    sizes = record.stream_bytes()
    for name, number in record.stream_lengths().items():
        if name in sizes:
            share = sizes[name] / number
            yield _line(name, f"{number} frames, {sizes[name]:,} bytes, {share:,.0f} a frame")
    if record.flow or record.flow_x:
        yield _line("flow bound", f"{record.flow_bound_px:g} px")
    if record.pa:
        yield _line("pa bound", f"{record.pa_bound:g}")
    if record.poses is not None:
        yield _line("poses", _people(record))
    yield "provenance"
    for name, value in asdict(record.provenance).items():
        yield _line(name, value)


def _source_frames(record: ClipRecord) -> str:
    """Which frames of the file the clip is made of."""
    indices, times = record.source_indices, record.source_timestamps_us / 1e6
    used = len(np.unique(indices))
    return (
        f"{indices[0]} to {indices[-1]} of the file, {times[0]:.3f} to {times[-1]:.3f} s: "
        f"{used} used, {record.num_frames - used} repeats, "
        f"{int(indices[-1] - indices[0]) + 1 - used} left out"
    )


def _people(record: ClipRecord) -> str:
    if record.poses is None:
        raise ValueError("record must have poses, got none")
    people, tracks = record.poses.num_people, record.poses.track_ids
    return (
        f"{len(people)} frames, {len(np.unique(tracks[tracks >= 0]))} tracks, "
        f"{people.mean():.2f} people per frame, people in {(people > 0).mean():.0%} of them"
    )


def _describe_shards(finished: FinishedOutput, row: LedgerRow | None) -> Iterator[str]:
    for name in finished.shard_names(row.shard) if row is not None else ():
        yield _line("shard", name)


def _describe_row(row: LedgerRow) -> Iterator[str]:
    """All that the row says; what is empty or nought is left out."""
    for name, value in asdict(row).items():
        if name == "outcome":
            yield _line(name, row.outcome.value)
        elif isinstance(value, dict):
            parts = [f"{part} {_number(each)}" for part, each in value.items() if each]
            if parts:
                yield _line(name, ", ".join(parts))
        elif name != "clip_id" and value not in ("", 0, None, -1):
            yield _line(name, _number(value))


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
