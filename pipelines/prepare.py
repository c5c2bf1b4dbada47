"""All checks and plans of a run, made before any video is opened."""

from dataclasses import dataclass

from pipelines import storage
from pipelines.build_shard import STATE_FOLDER, temp_folder
from pipelines.config import BuildConfig
from pipelines.plan import Plan, encode_plan, plan_shards
from pipelines.versions import software_text
from pose.backends import make_backend
from schemas.annotations.read import read_annotations
from schemas.clip_record import Provenance
from schemas.errors import ConfigError
from schemas.labels import LabelMap, parse_label_map
from schemas.shards import default_num_shards


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRun:
    """A run that is ready to start."""

    config: BuildConfig
    labels: LabelMap
    provenance: Provenance
    plan: Plan


def prepare_run(config: BuildConfig) -> PreparedRun:
    """Read the annotations, list the videos, plan the shards and check the output folder.

    Raises:
        ConfigError: If anything cannot be used: annotation files, video folder, pose model,
            label map, or an output folder that holds the result of other settings.
    """
    pose_model = _describe_pose_model(config)
    sizes = storage.list_sizes(config.videos)
    if not sizes:
        raise ConfigError(f"videos must hold at least one file, got an empty {config.videos}")
    labels = None
    if config.label_map:
        labels = _read_label_map(config.label_map)
    table = read_annotations(
        config.dataset,
        config.annotations,
        split=config.split,
        label_map=labels,
        video_paths=sorted(sizes),
        files=storage.RemoteTextFiles() if storage.is_remote(config.annotations) else None,
    )
    num_shards = config.num_shards or default_num_shards(
        min(len(table.clips), config.limit or len(table.clips))
    )
    plan = plan_shards(table, sizes, num_shards=num_shards, limit=config.limit)
    check_same_settings(config, num_shards)
    provenance = Provenance(
        config_hash=config.content_hash(), software=software_text(), pose_model=pose_model
    )
    return PreparedRun(config=config, labels=table.labels, provenance=provenance, plan=plan)


def _describe_pose_model(config: BuildConfig) -> str:
    """Name and hash of the pose model; "" if no poses are asked for."""
    if "pose" not in config.modalities:
        return ""
    backend = make_backend(config.pose_backend, config.pose)
    try:
        return f"{backend.name} {backend.model_hash}"
    finally:
        backend.close()


def _read_label_map(path: str) -> LabelMap:
    try:
        text = storage.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        rule = "label_map must be a readable UTF-8 file"
        raise ConfigError(f"{rule}, got {path}: {error}") from error
    try:
        return parse_label_map(text)
    except ValueError as error:
        rule = "label_map must have one label per line"
        raise ConfigError(f"{rule}, got {path}: {error}") from error


def settings_path(output: str) -> str:
    """Return the path of the settings that an output folder was made with."""
    return storage.join(output, STATE_FOLDER, "settings.json")


def plan_path(output: str) -> str:
    """Return the path of the plan of an output folder."""
    return storage.join(output, STATE_FOLDER, "plan.jsonl")


def _folder_settings(config: BuildConfig, num_shards: int) -> dict[str, object]:
    return {
        **config.content_settings(),
        "formats": sorted(config.formats),
        "num_shards": num_shards,
    }


def check_same_settings(config: BuildConfig, num_shards: int) -> None:
    """Raise ConfigError if the output folder was begun with other settings."""
    old = storage.read_json(settings_path(config.output))
    if old is None:
        return
    new = _folder_settings(config, num_shards)
    before, after = _flatten(old), _flatten(new)
    changes = [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if str(before.get(name)) != str(after.get(name))
    ]
    if changes:
        raise ConfigError(
            f"output must be a new folder or one made with the same settings, got {config.output} "
            f"with other ones ({'; '.join(changes)}); choose another --output"
        )


def _flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Nested settings as one level of dotted names."""
    if not isinstance(value, dict):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, object] = {}
    for name, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{name}" if prefix else str(name)))
    return flat


def save_plan(run: PreparedRun) -> None:
    """Write settings and plan into the output folder, and clear what a killed run left."""
    output = run.config.output
    storage.remove_tree(temp_folder(output))
    settings = _folder_settings(run.config, len(run.plan.shards))
    storage.write_json(settings_path(output), settings, temp_folder=temp_folder(output))
    storage.write_text(plan_path(output), encode_plan(run.plan), temp_folder=temp_folder(output))
    storage.remove_tree(storage.join(output, "COMPLETED"))
