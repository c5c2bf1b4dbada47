"""What all exports share: outputs in, records one by one, a folder that is whole or says so."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from rich.console import Console
from rich.progress import track

from pipelines import storage
from pipelines.finished_output import FinishedOutput, open_output
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError

INCOMPLETE = "INCOMPLETE"
"""File in the destination from the first to the last byte of an export."""

_MAX_NAME_BYTES = 200  # of the 255 that file systems allow
_UNSAFE = frozenset('/\\:*?"<>|')


@dataclass(slots=True)
class Exported:
    """What an export wrote."""

    kind: str
    num_clips: int = 0
    num_frames: int = 0
    num_bytes: int = 0
    note: str = ""
    """What a person should know about the data; "" if nothing."""

    def describe(self) -> str:
        """Return one line for a person."""
        counts = f"{self.num_clips} clips, {self.num_frames} frames, {self.num_bytes:,} bytes"
        return f"{self.kind}: {counts}" + (f" ({self.note})" if self.note else "")


def open_outputs(folders: Sequence[str]) -> list[FinishedOutput]:
    """Open the outputs that are to become one data set.

    Raises:
        ConfigError: If one is no finished output, or they have different label maps.
        ShardError: If the metadata of one is damaged.
    """
    outputs = [open_output(folder) for folder in folders]
    for output in outputs[1:]:
        if output.labels != outputs[0].labels:
            raise ConfigError(
                f"outputs must have the same label map, got {outputs[0].folder} and "
                f"{output.folder} with different ones; build them with the same --label-map"
            )
    return outputs


def read_clips(outputs: Sequence[FinishedOutput]) -> Iterator[tuple[FinishedOutput, ClipRecord]]:
    """Yield every record of the outputs, with a bar on a terminal.

    Raises:
        ShardError: If a shard is missing or damaged.
    """
    clips = (
        (output, record)
        for output in outputs
        for shard in range(output.num_shards)
        for record in output.read_records(shard)
    )
    total = sum(row.is_in_shard for output in outputs for row in output.ledger)
    console = Console(stderr=True)
    yield from track(
        clips, total=total, description="clips", console=console, disable=not console.is_terminal
    )


@contextmanager
def new_folder(destination: str) -> Iterator[Path]:
    """Give an empty folder that holds the file INCOMPLETE until the work in it is done.

    Args:
        destination: Local folder, new or empty.

    Raises:
        ConfigError: If it is remote, no folder, not empty, or what is left of an earlier export.
    """
    if storage.is_remote(destination):
        raise ConfigError(f"destination must be a local folder, got {destination}")
    folder = Path(destination).expanduser()
    mark = folder / INCOMPLETE
    if mark.exists():
        raise ConfigError(
            f"destination must be new or empty, got {destination} with an export that was "
            "interrupted; delete it and export again"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"destination must be new or empty, got {destination}")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text("This export is being written, or was interrupted and has to be made again.\n")
    yield folder
    mark.unlink()


class ClipNames:
    """The names given to clips so far: one name, one clip, and a clip once in a split.

    The same clip may come from several outputs, as in the three splits of UCF101, if it is the
    same in all of them.
    """

    def __init__(self) -> None:
        self._owners: dict[str, tuple[str, str, bytes]] = {}
        self._members: set[tuple[str, str]] = set()

    def claim(self, name: str, record: ClipRecord, folder: str, digest: bytes) -> bool:
        """Take a name for a clip; returns whether it is new, so that its data has to be written.

        Args:
            name: Name of the clip in the export.
            record: The clip.
            folder: Output that the clip comes from.
            digest: Hash of the data to be written.

        Raises:
            ConfigError: If another clip has the name, or the same one with other data.
        """
        if (record.split, name) in self._members:
            other, place, _ = self._owners[name]
            raise ConfigError(
                f"clips of split {record.split} must have different names, got {other} of {place} "
                f"and {record.clip_id} of {folder}, both {name}"
            )
        self._members.add((record.split, name))
        if name not in self._owners:
            self._owners[name] = (record.clip_id, folder, digest)
            return True
        clip_id, place, before = self._owners[name]
        if (clip_id, before) != (record.clip_id, digest):
            raise ConfigError(
                f"a name must stand for one clip, got {name} for {clip_id} of {place} and for "
                f"{record.clip_id} of {folder}, which differ"
            )
        return False


def safe_name(text: str) -> str:
    """Return a text as the name of a file that stays in its folder and holds no white space.

    Everything that is white space, a control character, or special in a path on any system
    becomes `_`, and so do dots at the start; a very long text ends in its hash instead.

    Args:
        text: Such as a label or a clip id.
    """
    name = "".join(
        "_" if each.isspace() or not each.isprintable() or each in _UNSAFE else each
        for each in text
    )
    bare = name.lstrip(".")
    name = "_" * (len(name) - len(bare)) + bare
    data = name.encode("utf-8", "replace")
    if len(data) > _MAX_NAME_BYTES:
        digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
        name = data[: _MAX_NAME_BYTES - len(digest)].decode("utf-8", "ignore") + digest
    return name or "_"
