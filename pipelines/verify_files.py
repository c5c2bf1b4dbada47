"""Check the files of an output folder by their digests, and have damaged shards built again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines import storage
from pipelines.build_shard import STATE_FOLDER, TEMP_FOLDER, temp_folder
from pipelines.file_digest import FileDigest, has_digest
from pipelines.finished_output import FinishedOutput
from pipelines.output_folder import MARKER_END, Marker, claim_output
from schemas.errors import ConfigError
from schemas.shards import shard_suffix


@dataclass(slots=True)
class Verification:
    """What `verify_output` found."""

    problems: list[str] = field(default_factory=list)
    """One line per broken promise; empty if the output is sound."""
    num_records: int = 0
    """Records read, over all formats."""
    num_images: int = 0
    """JPEGs decoded."""
    damaged_markers: set[str] = field(default_factory=set)
    """Names of the `done.json` files of shards with a problem."""

    def expect(self, *, holds: bool, problem: str) -> None:
        """Note a problem unless a condition holds."""
        if not holds:
            self.problems.append(problem)


def compare_with_marker(
    folder: str, marker_name: str, marker: Marker | None, found: Verification
) -> None:
    """Compare the files of a shard with the digests in its `done.json`.

    Args:
        folder: Output folder.
        marker_name: Name of the `done.json`.
        marker: Its content; None if it is missing or damaged.
        found: Takes the problems.
    """
    problems = []
    if marker is None:
        rule = "must be as `build` wrote it, got other bytes or no file"
        problems.append(f"{STATE_FOLDER}/{marker_name} {rule}")
    else:
        problems += [
            f"{name} must have the bytes that `build` wrote, got others or no file"
            for name, digest in marker["files"].items()
            if not has_digest(storage.join(folder, name), FileDigest(**digest))
        ]
    if problems:
        found.problems += problems
        found.damaged_markers.add(marker_name)


def find_strays(output: FinishedOutput, markers: Iterable[str], found: Verification) -> None:
    """Note files that belong to no shard: readers of `*.parquet` would take them for data.

    Args:
        output: Output folder.
        markers: Names of all `done.json` files in it.
        found: Takes the problems.
    """
    shards = range(output.num_shards)
    expected = {name for shard in shards for name in output.shard_names(shard)}
    expected |= {"tfrecord/dataset_info.json", "tfrecord/features.json"}
    present: set[str] = set()
    for folder in ("tfrecord", "parquet"):
        names = storage.list_files(storage.join(output.folder, folder))
        present |= {f"{folder}/{name}" for name in names}
    suffixes = {shard_suffix(shard, output.num_shards) + MARKER_END for shard in shards}
    strays = (present - expected) | {f"{STATE_FOLDER}/{name}" for name in set(markers) - suffixes}
    temp = temp_folder(output.folder)
    found.expect(
        holds=not storage.list_files(temp),
        problem=f"{TEMP_FOLDER} must be gone after a run, got files that a killed run left; "
        "the same `perfnet-prep build` deletes them",
    )
    found.problems += [
        f"{name} must belong to a shard, got a stray file; delete it" for name in sorted(strays)
    ]


def withdraw_damaged(folder: str, found: Verification) -> list[str]:
    """Let the next `build` make the damaged shards again: delete their `done.json`.

    Args:
        folder: Output folder that was verified.
        found: What `verify_output` found in it.

    Returns:
        What was done, or why it was not, for a person.
    """
    if not found.problems:
        return []
    shards = ", ".join(sorted(name.removesuffix(MARKER_END) for name in found.damaged_markers))
    try:
        with claim_output(folder):
            for name in found.damaged_markers:
                storage.withdraw(storage.join(folder, STATE_FOLDER, name))
    except (ConfigError, OSError) as error:
        return [f"nothing was marked for repair: {error}"] if shards else []
    repair = "the same `perfnet-prep build` repairs what it wrote"
    return [f"{repair}; it will build again the shards {shards}" if shards else repair]
