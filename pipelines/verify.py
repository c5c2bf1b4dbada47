"""Check a finished output folder: every byte, every count, every frame."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from pipelines import storage
from pipelines.finish import find_damaged_results
from pipelines.finished_output import DAMAGE, FinishedOutput, check_completed, open_output
from pipelines.output_folder import MARKER_END, Marker, read_markers
from pipelines.verify_files import Verification, compare_with_marker, find_strays
from schemas.clip_record import SCHEMA_VERSION, ClipRecord
from schemas.ledger import LedgerRow, count_outcomes
from schemas.shard_reader import read_shard
from schemas.shards import shard_suffix
from video.jpeg import decode_jpeg


def verify_output(folder: str) -> Verification:
    """Read everything in an output folder and compare it with its ledger.

    Checks: digests of all files, checksums, schema, equal frame counts of all streams, that
    every JPEG decodes to the stated size, growing time stamps, label map, one record per written
    ledger row in the right shard, equal records in both formats, and that nothing else lies in
    the folders. Where ledger, settings or the like are damaged, the shards are compared with
    their digests only.

    Args:
        folder: Output folder of `perfnet-prep build`, local or remote.

    Raises:
        ConfigError: If it is not an output folder or the run did not complete.
    """
    check_completed(folder)
    found = Verification()
    markers = read_markers(folder)
    damaged = find_damaged_results(folder)
    rule = "must be as `build` wrote it, got other bytes or no file"
    found.problems += [f"{name} {rule}" for name in damaged]
    if damaged:
        for name, marker in markers.items():
            compare_with_marker(folder, name, marker, found)
        return found
    output = open_output(folder)
    counts = count_outcomes(output.ledger)
    found.expect(
        holds=counts == output.info["counts"],
        problem=f"run.json must count the ledger's rows {counts}, got {output.info['counts']}",
    )
    ids = [row.clip_id for row in output.ledger if row.is_in_shard]
    found.expect(holds=len(ids) == len(set(ids)), problem="a clip id is written twice")
    for shard in range(output.num_shards):
        _verify_shard(output, shard, markers, found)
    find_strays(output, markers, found)
    return found


def _verify_shard(
    output: FinishedOutput,
    shard: int,
    markers: dict[str, Marker | None],
    found: Verification,
) -> None:
    """Compare the files of a shard with its ledger rows, with each other and with its marker."""
    num_problems = len(found.problems)
    rows = {row.clip_id: row for row in output.ledger if row.shard == shard}
    names = output.shard_names(shard)
    digests = [_verify_file(output, name, rows, found) for name in names]
    for clip_id in sorted(set[str]().union(*digests)):
        variants = {each[clip_id] for each in digests if clip_id in each}
        found.expect(
            holds=len(variants) == 1,
            problem=f"{' and '.join(names)}: {clip_id} must be the same in both, got two records",
        )
    name = shard_suffix(shard, output.num_shards) + MARKER_END
    if len(found.problems) > num_problems:
        found.damaged_markers.add(name)
    else:
        compare_with_marker(output.folder, name, markers.get(name), found)


def _verify_file(
    output: FinishedOutput, name: str, rows: dict[str, LedgerRow], found: Verification
) -> dict[str, str]:
    """Compare one shard file with its ledger rows; returns a digest of each record by clip id."""
    path = storage.join(output.folder, name)
    digests: dict[str, str] = {}
    if not storage.exists(path):
        found.problems.append(f"{name} must exist, got no such file")
        return digests
    seen: list[str] = []
    try:
        with storage.open_input(path) as file:
            for record in read_shard(file, name=name):
                seen.append(record.clip_id)
                digests[record.clip_id] = _shared_digest(record)
                found.num_records += 1
                for problem in _record_problems(record, rows, output, name):
                    found.problems.append(f"{name}: {record.clip_id}: {problem}")
                found.num_images += _verify_images(record, name, found)
    except DAMAGE as error:
        found.problems.append(f"{name}: {error}")
        return digests
    expected = sorted(rows)
    found.expect(
        holds=seen == expected,
        problem=f"{name} must hold the {len(expected)} clips of the ledger in order, "
        f"got {len(seen)} (first difference: {_first_difference(expected, seen)})",
    )
    return digests


def _shared_digest(record: ClipRecord) -> str:
    """Hash of all that both formats store; flow is left out, as they store it differently."""
    digest = blake2b(digest_size=16)
    names = (
        *("dataset", "split", "label_index", "label_text", "media_id", "video_path", "start_us"),
        *("end_us", "fps", "width", "height", "is_truncated", "provenance"),
    )
    digest.update(repr([getattr(record, name) for name in names]).encode("utf-8"))
    for stamps in (record.timestamps_us, record.source_indices, record.source_timestamps_us):
        digest.update(stamps.tobytes())
    if record.pa:
        digest.update(np.float32(record.pa_bound).tobytes())
    for jpeg in (*record.rgb, *record.pose_overlay, *record.pa):
        digest.update(jpeg)
    if record.poses is not None:
        for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
            digest.update(getattr(record.poses, name).tobytes())
    return digest.hexdigest()


def _record_problems(
    record: ClipRecord, rows: dict[str, LedgerRow], output: FinishedOutput, name: str
) -> Iterator[str]:
    row, labels = rows.get(record.clip_id), output.labels
    if row is None:
        yield "must be a written clip of this shard in the ledger, got no such row"
        return
    if record.num_frames != row.num_frames:
        yield f"must have the ledger's {row.num_frames} frames, got {record.num_frames}"
    streams = output.streams_in(name)
    present = record.stream_lengths().keys() - {"source_indices", "source_timestamps_us"}
    if present != streams:
        yield f"must have the streams {sorted(streams)}, got {sorted(present)}"
    for stamps in ("timestamps_us", "source_indices", "source_timestamps_us"):
        steps = np.diff(getattr(record, stamps))
        grows = (steps > 0).all() if stamps == "timestamps_us" else (steps >= 0).all()
        if not grows:
            yield f"{stamps} must grow from frame to frame"
    if record.provenance.schema_version != SCHEMA_VERSION:
        yield f"schema_version must be {SCHEMA_VERSION}, got {record.provenance.schema_version}"
    if record.label_index >= len(labels):
        yield f"label index must be < {len(labels)}, got {record.label_index}"
    elif record.label_index >= 0 and labels.texts[record.label_index] != record.label_text:
        expected = labels.texts[record.label_index]
        yield f"label {record.label_index} must be {expected!r}, got {record.label_text!r}"


def _verify_images(record: ClipRecord, name: str, found: Verification) -> int:
    """Decode every JPEG of a record; returns how many there are."""
    number = 0
    for stream in ("rgb", "pose_overlay", "flow", "flow_x", "flow_y", "pa"):
        for index, jpeg in enumerate(getattr(record, stream)):
            number += 1
            try:
                size = decode_jpeg(jpeg).shape[:2]
            except ValueError as error:
                problem = str(error)
            else:
                if size == (record.height, record.width):
                    continue
                problem = f"must be {record.height}x{record.width} pixels, got {size}"
            found.problems.append(f"{name}: {record.clip_id}: {stream}[{index}]: {problem}")
    return number


def _first_difference(expected: list[str], seen: list[str]) -> str:
    for wanted, got in zip(expected, seen, strict=False):
        if wanted != got:
            return f"{wanted} expected, {got} found"
    longer = expected if len(expected) > len(seen) else seen
    return longer[min(len(expected), len(seen))] if len(expected) != len(seen) else "none"
