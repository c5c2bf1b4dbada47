"""Everything written once all shards are done: ledger, metadata, run.json, COMPLETED."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from pipelines import storage
from pipelines.build_shard import temp_folder
from pipelines.config import BuildConfig
from pipelines.file_digest import FileDigest, digest_file, has_digest
from pipelines.output_folder import iterate_markers
from pipelines.sealed_json import read_sealed_json, write_sealed_json
from schemas.clip_record import SCHEMA_VERSION, Provenance
from schemas.errors import ShardError
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow, count_outcomes, from_plain, write_ledger
from schemas.run_folder import COMPLETED
from schemas.tfds import dataset_info_json, features_json
from schemas.versions import environment

STATE_FILES = ("state/plan.jsonl", "state/settings.json")
"""What the next run of the same command reads first."""


class PlanFacts(NamedTuple):
    """What the results of a run have to agree with."""

    num_rows: int
    """Annotation rows."""
    num_shards: int
    content_hash: str
    """`Plan.content_hash`, by which the next run knows that nothing has changed."""


def failed_fraction(rows: list[LedgerRow]) -> float:
    """Return the share of rows that are in no shard; 0 without rows."""
    return sum(not row.is_in_shard for row in rows) / max(1, len(rows))


def read_shard_rows(output: str) -> Iterator[LedgerRow]:
    """Yield the ledger rows that the `done.json` of every shard holds, a shard at a time."""
    for _, marker in iterate_markers(output):
        if marker is not None:
            yield from map(from_plain, marker["rows"])


def write_results(
    rows: list[LedgerRow],
    *,
    config: BuildConfig,
    labels: LabelMap,
    provenance: Provenance,
    plan: PlanFacts,
) -> dict[str, Any]:
    """Write ledger, label map, TFDS metadata, run.json and, last, COMPLETED.

    Args:
        rows: One ledger row for every annotation row.
        config: What was built.
        labels: The label map.
        provenance: Stored with every record.
        plan: What was planned.

    Returns:
        The content of run.json.

    Raises:
        ShardError: If the rows do not add up to the plan, or a finished shard is gone.
    """
    made_by = _check_shards(config.output, plan.num_shards)
    if len(rows) != plan.num_rows:
        raise ShardError(f"ledger must have {plan.num_rows} rows, got {len(rows)}")
    output, temp = config.output, temp_folder(config.output)
    with storage.atomic_output(storage.join(output, "ledger.parquet"), temp_folder=temp) as file:
        write_ledger(rows, file)
    storage.write_text(storage.join(output, "label_map.txt"), labels.to_text(), temp_folder=temp)
    if "tfrecord" in config.formats:
        lengths = [0] * plan.num_shards
        for row in rows:
            if row.is_in_shard:
                lengths[row.shard] += 1
        info = dataset_info_json(dataset=config.dataset, split=config.split, shard_lengths=lengths)
        folder = storage.join(output, "tfrecord")
        storage.write_text(storage.join(folder, "dataset_info.json"), info, temp_folder=temp)
        # TFDS wants a label in every record or in none.
        all_labelled = all(row.label_text for row in rows if row.is_in_shard)
        features = features_json(labels if all_labelled else LabelMap(()))
        storage.write_text(storage.join(folder, "features.json"), features, temp_folder=temp)
    counts = count_outcomes(rows)
    info_json = {
        "config": asdict(config),
        "config_hash": provenance.config_hash,
        "counts": counts,
        "earlier_software": sorted(made_by - {provenance.software}),
        "environment": environment(),
        "failed_fraction": failed_fraction(rows),
        "num_frames": sum(row.num_frames for row in rows),
        "num_rows": len(rows),
        "num_shards": plan.num_shards,
        "plan_hash": plan.content_hash,
        "pose_model": provenance.pose_model,
        "schema_version": SCHEMA_VERSION,
        "software": provenance.software,
    }
    storage.write_json(storage.join(output, "run.json"), info_json, temp_folder=temp)
    _write_completed(config)
    storage.remove_tree(temp)
    return info_json


def _check_shards(output: str, num_shards: int) -> set[str]:
    """Return the versions that made the shards; raise ShardError unless all are still there."""
    sizes: dict[str, int] = {}
    for folder in ("tfrecord", "parquet"):
        found = storage.list_files(storage.join(output, folder))
        sizes |= {f"{folder}/{name}": size for name, size in found.items()}
    num_markers, lost, software = 0, list[str](), set[str]()
    for marker_name, marker in iterate_markers(output):
        num_markers += 1
        if marker is None:
            lost.append(marker_name)
            continue
        software.add(marker["software"])
        files = marker["files"].items()
        lost += [name for name, digest in files if sizes.get(name) != digest["num_bytes"]]
    if lost or num_markers != num_shards:
        what = f"{len(lost)} damaged or missing files" + (f" ({lost[0]}, ...)" if lost else "")
        raise ShardError(
            f"output must hold {num_shards} finished shards at the end of a run, got "
            f"{num_markers} and {what}; run the same command again"
        )
    return software


def _write_completed(config: BuildConfig) -> None:
    """Write COMPLETED: the digests of all files that are no shards."""
    output = config.output
    names = ["ledger.parquet", "label_map.txt", "run.json", *STATE_FILES]
    if "tfrecord" in config.formats:
        names += ["tfrecord/dataset_info.json", "tfrecord/features.json"]
    digests = {name: asdict(digest_file(storage.join(output, name))) for name in sorted(names)}
    completed = {"files": digests}
    path = storage.join(output, COMPLETED)
    write_sealed_json(path, completed, temp_folder=temp_folder(output))


def find_damaged_results(output: str) -> list[str]:
    """Return the files beside the shards that are not as COMPLETED has them, itself included."""
    completed = read_sealed_json(storage.join(output, COMPLETED))
    if completed is None:
        return [COMPLETED]
    return [
        name
        for name, digest in completed["files"].items()
        if not has_digest(storage.join(output, name), FileDigest(**digest))
    ]
