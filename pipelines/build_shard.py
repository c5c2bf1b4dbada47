"""Build one shard: process its clips, write its files, leave a `done.json` last."""

import logging
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.config import BuildConfig
from pipelines.file_digest import FileDigest, HashedFile, is_unchanged
from pipelines.image_spool import image_file
from pipelines.isolation import IsolatedProcessor
from pipelines.kept_clip import KeptClip, kept_clip_file
from pipelines.old_shard import OldShard, Reuse
from pipelines.plan import ClipTask, ShardSpec
from pipelines.process_clip import ProcessedClip, copy_clip
from pipelines.remote_video import Video
from pipelines.sealed_json import read_sealed_json, write_sealed_json
from pipelines.system_errors import is_out_of_room
from schemas.clip_record import Provenance
from schemas.errors import PrepError, RecordError, ShardError
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow, from_plain, to_plain
from schemas.outcome import Outcome
from schemas.sealed_json import hash_json
from schemas.shard_writer import ParquetShard, ShardFile, TFRecordShard
from schemas.shards import parquet_name, shard_suffix, tfrecord_name

_LOGGER = logging.getLogger("perfnet_prep")

CLIP_LOGGER = logging.getLogger("perfnet_prep.clips")
"""One INFO record per clip, with the attribute `outcome`; one per shard that an earlier run
built, with the attribute `num_clips`."""

STATE_FOLDER = "state"
"""Folder below the output with the plan and the `done.json` of every shard."""

TEMP_FOLDER = storage.join(STATE_FOLDER, "tmp")
"""Folder below the output with unfinished files."""


_WORTH_RETRYING = {each.value for each in (Outcome.TIMEOUT, Outcome.CRASHED, Outcome.FAILED)}


def plan_path(output: str) -> str:
    """Return the path of the plan of an output folder."""
    return storage.join(output, STATE_FOLDER, "plan.jsonl")


def temp_folder(output: str) -> str:
    """Return the folder of unfinished files of an output folder."""
    return storage.join(output, TEMP_FOLDER)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardResult:
    """A finished shard."""

    rows: tuple[LedgerRow, ...]
    was_done: bool
    """Whether an earlier run had finished it already."""


class ShardBuilder:
    """Builds shards one after the other with one child process.

    Args:
        config: What to build.
        labels: The label map, stored with the shards.
        provenance: Stored with every record.
        reuse: What to take over from an earlier output.
    """

    def __init__(
        self,
        config: BuildConfig,
        labels: LabelMap,
        provenance: Provenance,
        reuse: Reuse | None = None,
    ) -> None:
        self._config = config
        self._labels = labels
        self._provenance = provenance
        self._reuse = reuse
        self._processor: IsolatedProcessor | None = None

    def close(self) -> None:
        """End the child process."""
        if self._processor is not None:
            self._processor.close()
            self._processor = None

    def build(self, spec: ShardSpec) -> ShardResult:
        """Return the ledger rows of a shard, building it unless an earlier run did."""
        key = shard_key(self._config, self._labels, self._provenance, spec)
        done = read_done(self._config, spec, key)
        if done is not None:
            rows = tuple(from_plain(row) for row in done["rows"])
            CLIP_LOGGER.info(
                "shard %s was built before",
                shard_suffix(spec.shard, spec.num_shards),
                extra={"num_clips": len(spec.tasks)},
            )
            return ShardResult(rows=rows, was_done=True)
        check_in_place(self._config.output)
        storage.withdraw(done_path(self._config, spec))  # it never outlives what it stands for
        with ExitStack() as stack:
            hashed = self._open_files(spec, stack)
            files = [self._open_shard(name, file, stack) for name, file in hashed.items()]
            old = self._open_old_shard(spec, stack)
            spool = stack.enter_context(image_file(self._local_temp_folder()))
            rows = tuple(self._process(task, spec, files, old, spool) for task in spec.tasks)
        state = {
            "key": key,
            "settings_hash": hash_json(folder_settings(self._config, spec.num_shards)),
            "software": self._provenance.software,
            "files": {name: asdict(file.digest()) for name, file in hashed.items()},
            "num_records": sum(row.is_in_shard for row in rows),
            "rows": [to_plain(row) for row in rows],
        }
        write_sealed_json(
            done_path(self._config, spec), state, temp_folder=temp_folder(self._config.output)
        )
        return ShardResult(rows=rows, was_done=False)

    def _open_files(self, spec: ShardSpec, stack: ExitStack) -> dict[str, HashedFile]:
        files = {}
        for name in shard_file_names(self._config, spec):
            path = storage.join(self._config.output, name)
            output = storage.atomic_output(path, temp_folder=temp_folder(self._config.output))
            files[name] = HashedFile(stack.enter_context(output))
        return files

    def _open_shard(self, name: str, file: HashedFile, stack: ExitStack) -> ShardFile:
        is_parquet = name.endswith(".parquet")
        folder = self._local_temp_folder()
        has_pa = "pa" in self._config.modalities
        shard = (
            ParquetShard(file, self._labels, folder, has_pa=has_pa)
            if is_parquet
            else TFRecordShard(file)
        )
        return stack.enter_context(closing(shard))

    def _local_temp_folder(self) -> Path | None:
        """Below the output, where the next run clears what a killed one leaves; None if remote."""
        output = self._config.output
        return None if storage.is_remote(output) else Path(temp_folder(output))

    def _open_old_shard(self, spec: ShardSpec, stack: ExitStack) -> OldShard | None:
        if self._reuse is None:
            return None
        old_config = replace(self._config, output=self._reuse.folder)
        return stack.enter_context(
            closing(OldShard(self._reuse, spec, done_path(old_config, spec)))
        )

    def _process(
        self,
        task: ClipTask,
        spec: ShardSpec,
        files: list[ShardFile],
        old: OldShard | None,
        spool: Path,
    ) -> LedgerRow:
        """One clip: written to all files, or a row that says why not."""
        kept = old.find(task.clip.clip_id) if old is not None else None
        try:
            if kept is not None and kept.streams >= self._config.streams:
                done = copy_clip(task, kept, self._config, self._provenance)
            else:
                done = self._compute(task, kept, spool)
            for file in files:
                file.write(done.record)
        except RecordError as error:
            row = _failure_row(task, error)
        else:
            row = _success_row(task, spec.shard, done)
        place = f" {row.detail}" if row.detail else ""
        CLIP_LOGGER.info(
            "%s %s%s", row.clip_id, row.outcome.value, place, extra={"outcome": row.outcome.value}
        )
        return row

    def _compute(self, task: ClipTask, kept: KeptClip | None, spool: Path) -> ProcessedClip:
        """The clip, worked on in the child process."""
        if self._processor is None:
            self._processor = IsolatedProcessor(self._config, self._provenance)
        video = video_of(self._config, task)
        try:
            done = self._process_isolated(self._processor, task, video, kept, spool)
        except OSError as error:
            raise _of_clip_or_run(error, task.clip.clip_id) from error
        if kept is not None and not done.took_over:
            _LOGGER.warning(
                "reuse: %s must have the frames that the earlier run stored, got others; "
                "it is computed again",
                task.clip.clip_id,
            )
        return done

    def _process_isolated(
        self,
        processor: IsolatedProcessor,
        task: ClipTask,
        video: Video,
        kept: KeptClip | None,
        spool: Path,
    ) -> ProcessedClip:
        if kept is None:
            return processor.process(task, video, None, spool)
        with kept_clip_file(kept, folder=self._local_temp_folder()) as kept_file:
            return processor.process(task, video, kept_file, spool)


def video_of(config: BuildConfig, task: ClipTask) -> Video:
    """Return the video of a clip in the form that child processes open."""
    path = storage.join(config.videos, *task.path.split("/"))
    return storage.video_source(path, num_bytes=task.size_bytes, max_mib=config.clip_disk_mib)


def _of_clip_or_run(error: OSError, clip_id: str) -> PrepError:
    """What ends the run, as it would hit every clip; or else what is wrong with this one."""
    reason = error.strerror or str(error)
    if is_out_of_room(error):
        return ShardError(
            f"{clip_id} must be worked on with room for temporary files, got: {reason}; "
            "once that is mended, the same command goes on where it stopped"
        )
    return RecordError(clip_id, Outcome.FAILED, f"the system gave up on the file: {reason}")


def check_in_place(output: str) -> None:
    """Raise ShardError if the output folder of a run in progress was taken away."""
    if not storage.exists(plan_path(output)):
        rule = "output must stay in place while a run writes to it"
        raise ShardError(f"{rule}, got {output} without its plan; run the same command again")


def shard_file_names(config: BuildConfig, spec: ShardSpec) -> list[str]:
    """Return the paths of a shard's files below the output folder."""
    names = []
    if "tfrecord" in config.formats:
        names.append(tfrecord_name(config.dataset, config.split, spec.shard, spec.num_shards))
    if "parquet" in config.formats:
        names.append(parquet_name(config.split, spec.shard, spec.num_shards))
    return names


def folder_settings(config: BuildConfig, num_shards: int) -> dict[str, Any]:
    """Return, JSON-ready, the settings that all shards of an output folder share."""
    return {
        **config.content_settings(),
        "formats": sorted(config.formats),
        "num_shards": num_shards,
    }


def shard_key(
    config: BuildConfig, labels: LabelMap, provenance: Provenance, spec: ShardSpec
) -> str:
    """Return a hash of all that decides the content of a shard's files, except versions."""
    return hash_json(
        {
            "inputs": [asdict(task) for task in spec.tasks],
            "config": config.content_settings(),
            "formats": sorted(config.formats),
            "labels": labels.texts,
            "pose_model": provenance.pose_model,
        }
    )


def done_path(config: BuildConfig, spec: ShardSpec) -> str:
    """Return the path of a shard's `done.json`."""
    name = f"{shard_suffix(spec.shard, spec.num_shards)}.done.json"
    return storage.join(config.output, STATE_FOLDER, name)


def read_done(config: BuildConfig, spec: ShardSpec, key: str) -> dict[str, Any] | None:
    """Return a shard's `done.json`, or None if the shard has to be built.

    Args:
        config: What is to be built.
        spec: The shard.
        key: Its `shard_key`; the shard counts only if it was built with the same.
    """
    marker = done_path(config, spec)
    done = read_sealed_json(marker)
    if done is None or done["key"] != key:
        return None
    outcomes = {row["outcome"] for row in done["rows"]}
    if config.retry_failed and outcomes & _WORTH_RETRYING:
        return None
    for name, digest in done["files"].items():
        path = storage.join(config.output, name)
        if not is_unchanged(path, FileDigest(**digest), marker=marker):
            return None
    return done


def _success_row(task: ClipTask, shard: int, done: ProcessedClip) -> LedgerRow:
    record = done.record
    return LedgerRow(
        clip_id=task.clip.clip_id,
        outcome=Outcome.TRUNCATED if record.is_truncated else Outcome.WRITTEN,
        detail=done.detail,
        source=task.clip.source,
        path=task.path,
        label_text=task.clip.label_text or "",
        media_id=task.clip.media_id,
        shard=shard,
        num_frames=record.num_frames,
        decoded_frames=done.decoded_frames,
        declared_frames=done.declared_frames,
        source_start_us=int(record.source_timestamps_us[0]),
        source_end_us=int(record.source_timestamps_us[-1]),
        record_bytes=record.num_image_bytes,
        stream_bytes=record.stream_bytes(),
        seconds=done.seconds,
        **asdict(done.facts),
    )


def _failure_row(task: ClipTask, error: RecordError) -> LedgerRow:
    return LedgerRow(
        clip_id=task.clip.clip_id,
        outcome=error.outcome,
        detail=error.detail,
        source=task.clip.source,
        path=task.path,
        label_text=task.clip.label_text or "",
        media_id=task.clip.media_id,
    )
