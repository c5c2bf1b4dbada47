"""Decide what `build --reuse` takes over from an earlier output.

A stream is taken over if everything that makes it is the same: the frames (decode settings and
software), its own settings, and its JPEG quality. Clips count one by one: only those that the
earlier output holds, made from the same times of a file with the same path and size.
"""

import json
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.build_shard import plan_path
from pipelines.config import BuildConfig
from pipelines.finished_output import DAMAGE, FinishedOutput, open_output
from pipelines.old_shard import Reuse, reusable_rows
from pipelines.output_folder import setting_changes, settings_path
from pipelines.plan import Plan, decode_specs
from pipelines.sealed_json import read_sealed_json
from schemas.clip_record import SCHEMA_VERSION, Provenance
from schemas.errors import ConfigError, ShardError

_SETTINGS_OF = {
    "rgb": ("jpeg.rgb_quality",),
    "flow": ("flow_engine", "flow", "jpeg.flow_quality"),
    "flow_x": ("flow_engine", "flow", "jpeg.flow_quality"),
    "flow_y": ("flow_engine", "flow", "jpeg.flow_quality"),
    "pa": ("pa",),
    "poses": ("pose_backend", "pose", "pose_model"),
    "pose_overlay": ("pose_backend", "pose", "pose_model", "render", "jpeg.pose_quality"),
}
"""Settings that make a stream out of frames."""

_NOT_COMPUTED = ("modalities", "pose_storage", "formats", "num_shards", "strict")
"""Settings that decide what is stored, not what it is."""


def open_old_output(config: BuildConfig) -> FinishedOutput:
    """Return the output named by `config.reuse`.

    Raises:
        ConfigError: If it is no finished output, the output folder itself, or one of another
            data set, split, schema version or number of shards.
    """
    if _is_same_folder(config.reuse, config.output):
        raise ConfigError(
            f"reuse must be another folder than output, got {config.reuse} for both; "
            "choose another --output"
        )
    try:
        old = open_output(config.reuse)
    except (ConfigError, ShardError) as error:
        raise ConfigError(
            f"reuse must be the finished output of an earlier build, got {config.reuse} ({error})"
        ) from error
    wanted = {
        "dataset": (old.config["dataset"], config.dataset),
        "split": (old.config["split"], config.split),
        "schema_version": (old.info["schema_version"], SCHEMA_VERSION),
        "num_shards": (old.num_shards, config.num_shards or old.num_shards),
    }
    for name, (before, now) in wanted.items():
        if before != now:
            way_out = "leave --num-shards out" if name == "num_shards" else "build without --reuse"
            raise ConfigError(
                f"reuse must have the same {name}, got {config.reuse} with {name} {before} for a "
                f"run with {now}; {way_out}"
            )
    return old


def plan_reuse(
    old: FinishedOutput, config: BuildConfig, provenance: Provenance, plan: Plan
) -> tuple[Reuse, str]:
    """Decide what is taken over.

    Args:
        old: From `open_old_output`.
        config: What is to be built.
        provenance: Of the records to be built.
        plan: What the shards will hold; as many shards as `old` has.

    Returns:
        What is taken over, and one line that says so.

    Raises:
        ConfigError: If that is nothing, or the old folder lacks its state files.
    """
    before = _settings(_read_settings(old), old.info["software"], old.info["pose_model"])
    after = _settings(config.content_settings(), provenance.software, provenance.pose_model)
    if ("pa" in before) != ("pa" in after):  # not computed here or there: no change
        for settings in (before, after):
            settings.pop("pa", None)
    changes = [
        change
        for change in setting_changes(before, after)
        if not change.startswith(tuple(f"{name}: " for name in _NOT_COMPUTED))
    ]
    streams = _reusable_streams(old, config, before, after)
    if not streams:
        held = ", ".join(sorted(_held_streams(old)))
        raise ConfigError(
            f"reuse must hold a stream that this run needs, with the same settings, got "
            f"{old.folder} with {held} ({'; '.join(changes) or 'no setting differs'}); "
            "build without --reuse"
        )
    offsets, num_clips = _match_plans(old, config, plan)
    if not num_clips:
        raise ConfigError(
            f"reuse must hold a clip of this run, made from the same file, got {old.folder} with "
            "none; check --videos and --annotations, or build without --reuse"
        )
    reuse = Reuse(
        folder=old.folder,
        shard_names=tuple(_files_to_read(old, shard, streams) for shard in range(old.num_shards)),
        streams=streams,
        software=provenance.software,
        strict=config.strict,
        plan_path=plan_path(old.folder),
        plan_offsets=offsets,
    )
    total = sum(len(spec.tasks) for spec in plan.shards)
    todo = ", ".join(sorted(config.streams - streams)) or "nothing"
    why = f" (changed: {'; '.join(changes)})" if changes else ""
    return reuse, (
        f"reuse: {', '.join(sorted(streams))} of {num_clips} of {total} clips from {old.folder}; "
        f"computed for them: {todo}{why}"
    )


def _is_same_folder(one: str, other: str) -> bool:
    if storage.is_remote(one) or storage.is_remote(other):
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def _read_settings(old: FinishedOutput) -> dict[str, Any]:
    path = settings_path(old.folder)
    settings = read_sealed_json(path)
    if settings is None:
        raise _lost_state(path, "no such file, or a damaged one")
    return settings


def _lost_state(path: str, problem: str) -> ConfigError:
    return ConfigError(
        f"reuse must be an output with its folder `state`, got {path}: {problem}; "
        "build without --reuse"
    )


def _settings(content: dict[str, Any], software: str, pose_model: str) -> dict[str, Any]:
    """Content settings as JSON gives them back, and what else makes pixels and poses."""
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return {**plain, "software": software, "pose_model": pose_model}


def _held_streams(old: FinishedOutput) -> frozenset[str]:
    return frozenset[str]().union(*(old.streams_in(name) for name in old.shard_names(0)))


def _reusable_streams(
    old: FinishedOutput, config: BuildConfig, before: dict[str, Any], after: dict[str, Any]
) -> frozenset[str]:
    """Streams that the old output holds as this run would make them, and that it needs."""
    if before["software"] != after["software"]:
        return frozenset()
    if not _gives_same_frames(before["decode"], after["decode"]):
        return frozenset()
    reusable = {
        stream
        for stream in _held_streams(old) & (config.streams | {"poses"})
        if all(_get(before, name) == _get(after, name) for name in _SETTINGS_OF[stream])
    }
    needed = set(config.streams)
    if "pose_overlay" in needed - reusable:
        needed.add("poses")  # to draw them anew
    return frozenset(reusable & needed)


def _gives_same_frames(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the decode settings are the same; a limit (`max_*`) may have been raised."""
    return before.keys() == after.keys() and all(
        before[name] == value or (name.startswith("max_") and before[name] <= value)
        for name, value in after.items()
    )


def _get(settings: dict[str, Any], name: str) -> object:
    """The setting of a dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = value[part]
    return value


def _files_to_read(old: FinishedOutput, shard: int, streams: frozenset[str]) -> tuple[str, ...]:
    """The fewest files of a shard that hold the streams; the first format has what both have."""
    names: list[str] = []
    # Flow first: each format has its own, and every other stream comes along with it.
    flow = streams & {"flow", "flow_x", "flow_y"}
    for wanted in (flow, streams):
        for name in old.shard_names(shard):
            found = frozenset[str]().union(*(old.streams_in(each) for each in names))
            if name not in names and (wanted - found) & old.streams_in(name):
                names.append(name)
    return tuple(names)


def _match_plans(
    old: FinishedOutput, config: BuildConfig, plan: Plan
) -> tuple[tuple[int, ...], int]:
    """Where each shard's line begins in the old plan, and how many clips can be taken over."""
    rows = {row.clip_id: row for row in old.ledger if row.is_in_shard}
    path = plan_path(old.folder)
    offsets, num_clips, position = [], 0, 0
    try:
        with storage.open_input(path) as file:
            for line in file:
                for spec in decode_specs([line.decode("utf-8")]):
                    new = plan.shards[spec.shard]
                    num_clips += len(reusable_rows(spec, new, rows, strict=config.strict))
                    offsets.append(position)
                position += len(line)
    except DAMAGE as error:
        raise _lost_state(path, str(error)) from error
    if len(offsets) != old.num_shards:
        raise _lost_state(path, f"{len(offsets)} shards")
    return tuple(offsets), num_clips
