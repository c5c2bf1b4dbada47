"""What an output folder remembers: its settings, its plan, and who is writing to it."""

import fcntl
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.build_shard import STATE_FOLDER, folder_settings, plan_path, temp_folder
from pipelines.config import BuildConfig
from pipelines.plan import Plan, encode_plan
from pipelines.sealed_json import read_sealed_json, write_sealed_json
from schemas.errors import ConfigError
from schemas.run_folder import COMPLETED
from schemas.sealed_json import hash_json

MARKER_END = ".done.json"

_NUM_READERS = 32

Marker = dict[str, Any]
"""The content of a `done.json`: keys as `ShardBuilder.build` writes them."""

_LOGGER = logging.getLogger("perfnet_prep")


def settings_path(output: str) -> str:
    """Return the path of the settings that an output folder was made with."""
    return storage.join(output, STATE_FOLDER, "settings.json")


def check_same_settings(config: BuildConfig, num_shards: int) -> None:
    """Raise ConfigError if the output folder was begun with other settings.

    Args:
        config: What is to be built.
        num_shards: Number of shards it will have.
    """
    new = folder_settings(config, num_shards)
    saved = read_sealed_json(settings_path(config.output))
    if saved is None:
        _check_by_done_markers(config.output, new)
        return
    changes = setting_changes(saved, new)
    if changes:
        keep = ""
        if config.num_shards is None and saved["num_shards"] != num_shards:
            keep = f"; there are more or fewer rows now: add --num-shards {saved['num_shards']}, or"
        raise ConfigError(
            f"output must be a new folder or one made with the same settings, got {config.output} "
            f"with other ones ({'; '.join(changes)}){keep or ';'} choose another --output"
        )


def setting_changes(old: dict[str, object], new: dict[str, object]) -> list[str]:
    """Return "name: before -> after" for every setting that differs; nested ones get dots."""
    before, after = _flatten(old), _flatten(new)
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if str(before.get(name)) != str(after.get(name))
    ]


def _check_by_done_markers(output: str, settings: dict[str, Any]) -> None:
    """The same, for a folder whose settings.json is lost: finished shards know them by hash."""
    begun = (storage.join(output, STATE_FOLDER), plan_path(output))  # remote: files only
    if not any(storage.exists(path) for path in begun):
        return
    for name, marker in read_markers(output).items():
        if marker is not None and marker["settings_hash"] != hash_json(settings):
            raise ConfigError(
                f"output must be a new folder or one made with the same settings, got {output} "
                f"with other ones in {STATE_FOLDER}/{name} (its {STATE_FOLDER}/settings.json is "
                "lost, so it is not known which); choose another --output"
            )


def _flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Nested settings as one level of dotted names."""
    if not isinstance(value, dict):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, object] = {}
    for name, inner in value.items():
        flat.update(_flatten(inner, f"{prefix}.{name}" if prefix else str(name)))
    return flat


def read_markers(output: str) -> dict[str, Marker | None]:
    """Return what every `done.json` of an output folder says, by name; None if damaged."""
    return dict(iterate_markers(output))


def iterate_markers(output: str) -> Iterator[tuple[str, Marker | None]]:
    """Yield the name and content of every `done.json` in order; None if damaged."""
    state = storage.join(output, STATE_FOLDER)
    names = sorted(name for name in storage.list_files(state) if name.endswith(MARKER_END))
    paths = [storage.join(state, name) for name in names]
    if not storage.is_remote(output):
        yield from zip(names, map(read_sealed_json, paths), strict=True)
        return
    with ThreadPoolExecutor(_NUM_READERS) as pool:  # each waits for several answers
        yield from zip(names, pool.map(read_sealed_json, paths), strict=True)


def warn_about_other_versions(output: str, software: str) -> None:
    """Say so if finished shards were made by other package versions; they are kept.

    Args:
        output: Output folder that this run goes on with.
        software: `Provenance.software` of this run.
    """
    made_by = {marker["software"] for marker in read_markers(output).values() if marker}
    for other in sorted(made_by - {software}):
        before, now = set(other.split()), set(software.split())
        _LOGGER.warning(
            "%s holds finished shards made by other versions (%s -> %s); they are kept: each "
            "record names its versions, and run.json lists them as earlier_software. For one set "
            "of versions build into a new folder",
            output,
            " ".join(sorted(before - now)) or "none",
            " ".join(sorted(now - before)) or "none",
        )


def save_plan(config: BuildConfig, plan: Plan) -> None:
    """Write settings and plan into the output folder, and clear what a killed run left."""
    output, temp = config.output, temp_folder(config.output)
    storage.withdraw(storage.join(output, COMPLETED))  # before anything it vouches for changes
    storage.remove_tree(temp)
    settings = folder_settings(config, len(plan.shards))
    write_sealed_json(settings_path(output), settings, temp_folder=temp)
    storage.write_text(plan_path(output), encode_plan(plan), temp_folder=temp)


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
        storage.make_folder(str(state))
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
        storage.remove_tree(temp_folder(output))  # of a run that was killed at its end
        yield
