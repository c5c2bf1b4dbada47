"""What an output folder remembers: its settings, its plan, and who is writing to it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines import storage
from pipelines.build_shard import STATE_FOLDER, temp_folder
from pipelines.config import BuildConfig
from pipelines.plan import Plan, encode_plan
from schemas.errors import ConfigError


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
    """Raise ConfigError if the output folder was begun with other settings.

    Args:
        config: What is to be built.
        num_shards: Number of shards it will have.
    """
    old = storage.read_json(settings_path(config.output))
    if old is None:
        return
    changes = setting_changes(old, _folder_settings(config, num_shards))
    if changes:
        raise ConfigError(
            f"output must be a new folder or one made with the same settings, got {config.output} "
            f"with other ones ({'; '.join(changes)}); choose another --output"
        )


def setting_changes(old: dict[str, object], new: dict[str, object]) -> list[str]:
    """Return "name: before -> after" for every setting that differs; nested ones get dots."""
    before, after = _flatten(old), _flatten(new)
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if str(before.get(name)) != str(after.get(name))
    ]


def _flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Nested settings as one level of dotted names."""
    if not isinstance(value, dict):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, object] = {}
    for name, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{name}" if prefix else str(name)))
    return flat


def save_plan(config: BuildConfig, plan: Plan) -> None:
    """Write settings and plan into the output folder, and clear what a killed run left."""
    output = config.output
    storage.remove_tree(temp_folder(output))
    settings = _folder_settings(config, len(plan.shards))
    storage.write_json(settings_path(output), settings, temp_folder=temp_folder(output))
    storage.write_text(plan_path(output), encode_plan(plan), temp_folder=temp_folder(output))
    storage.remove_tree(storage.join(output, "COMPLETED"))


@contextmanager
def claim_output(output: str) -> Iterator[None]:
    """Make the output folder if need be, and keep other runs on this machine out of it.

    The claim ends with the process, however it ends.

    Raises:
        ConfigError: If the folder cannot be written to, or another run has claimed it.
    """
    if storage.is_remote(output):
        yield
        return
    state = Path(output) / STATE_FOLDER
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "lock").open("a")
    except OSError as error:
        rule = "output must be a folder that can be written"
        raise ConfigError(f"{rule}, got {output}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"output must be written by one run at a time, got {output} with a run in "
                "progress; wait for it, or choose another --output"
            ) from error
        yield
