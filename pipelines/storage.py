"""Files through Beam's FileSystems: local paths, gs:// and whatever else Beam can reach.

Local files are renamed, measured and deleted directly: FileSystems takes `[`, `*` and `?` in a
name for a pattern.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.remote_errors import as_system_errors
from pipelines.remote_video import RemoteVideo, Video
from schemas.annotations.text_files import MAX_FILE_BYTES, decode_text
from schemas.errors import ConfigError, ShardError

_AS_IT_IS = CompressionTypes.UNCOMPRESSED


def check_reachable(field: str, path: str) -> None:
    """Raise ConfigError unless Beam has a file system for a path, and takes it for one path.

    Args:
        field: Name of the option in the message.
        path: Local path, or one with a scheme.
    """
    if is_remote(path) and set(path) & set("*?[]"):
        rule = "must be a remote path without *, ?, [ and ], which Apache Beam takes for patterns"
        raise ConfigError(f"{field} {rule}, got {path}")
    try:
        FileSystems.get_filesystem(path)
    except ValueError as error:
        raise ConfigError(
            f"{field} must be a local path or one that Apache Beam can reach, got {path}; "
            "for gs:// run: pip install 'perfnet-prep[prep,gcp]'"
        ) from error


def use_options(options: PipelineOptions) -> None:
    """Reach remote files from now on as Beam's options say: as which account, how often."""
    FileSystems.set_options(options)


def options_in_use() -> tuple[str, ...]:
    """Return the flags that make the options that are in use.

    As text: a worker of Dataflow is given numbers as 8.0, which not all of Beam's parsers take.
    """
    options: PipelineOptions | None = FileSystems._pipeline_options  # noqa: SLF001 - no getter
    return () if options is None else tuple(options._flags)  # noqa: SLF001 - no getter


def join(folder: str, *parts: str) -> str:
    """Return the path of an entry below a folder."""
    return str(FileSystems.join(folder, *parts))


def is_remote(path: str) -> bool:
    """Whether a path has a scheme (gs://, s3://)."""
    return FileSystems.get_scheme(path) is not None


def exists(path: str) -> bool:
    """Whether a file exists.

    Raises:
        OSError: If a remote storage does not tell.
    """
    with as_system_errors(path):
        return bool(FileSystems.exists(path))


def read_bytes(path: str) -> bytes:
    """Return the content of a file."""
    with open_input(path) as file:
        return file.read()


def read_text(path: str) -> str:
    """Return the content of a UTF-8 text file; a byte-order mark is dropped."""
    return read_bytes(path).decode("utf-8-sig")


def read_json(path: str) -> Any:
    """Return the value of a JSON file, or None if there is no such file.

    Raises:
        ShardError: If the file is not JSON.
    """
    if not exists(path):
        return None
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise ShardError(f"{path} must be JSON, got a damaged file ({error})") from error


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading in binary.

    Raises:
        OSError: If it cannot be read; FileNotFoundError if there is none.
    """
    with as_system_errors(path), FileSystems.open(path, compression_type=_AS_IT_IS) as file:
        yield file


def list_remote_sizes(folder: str) -> dict[str, int]:
    """Return the bytes of every file below a remote folder, by path relative to it.

    Raises:
        ConfigError: If the folder cannot be read.
    """
    prefix = folder.rstrip("/") + "/"
    try:
        with as_system_errors(folder):
            (match,) = FileSystems.match([prefix + "**"])
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"folder must be readable, got {folder}: {reason}") from error
    entries = match.metadata_list
    sizes = {entry.path[len(prefix) :]: entry.size_in_bytes for entry in entries}
    return {name: size for name, size in sizes.items() if name and not name.endswith("/")}


def list_files(folder: str) -> dict[str, int]:
    """Return the bytes of every file right in a folder by name; {} if there is no folder."""
    if is_remote(folder):
        sizes = list_remote_sizes(folder)
        return {name: size for name, size in sizes.items() if "/" not in name}
    if not Path(folder).is_dir():
        return {}
    return {each.name: each.stat().st_size for each in Path(folder).iterdir() if each.is_file()}


class RemoteTextFiles:
    """Annotation files behind FileSystems; see `schemas.annotations.TextFiles`."""

    def read_text(self, path: str) -> str:
        """Return the content of a UTF-8 file.

        Raises:
            ConfigError: If there is no such file, or it is no UTF-8 text.
        """
        try:
            with open_input(path) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            rule = "annotation file must be a file that can be read"
            raise ConfigError(f"{rule}, got {path}: {error}") from error
        return decode_text(data, path, num_bytes=len(data))

    def list_names(self, path: str) -> list[str]:
        """Return the names of the files in a folder, sorted.

        Raises:
            ConfigError: If there is no such folder or it cannot be listed.
        """
        names = sorted(name for name in list_remote_sizes(path) if "/" not in name)
        if not names:
            raise ConfigError(f"annotations must be a folder with files, got {path}")
        return names


@contextmanager
def atomic_output(path: str, *, temp_folder: str) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when complete.

    When this ends without an error, a local file and its name survive a loss of power; so what
    is written after it never outlives it.

    Args:
        path: Final name; an older file is replaced.
        temp_folder: Folder on the same file system for the unfinished file.

    Raises:
        ShardError: If the system cannot write it: no space, no permission, no such folder.
    """
    temporary = join(temp_folder, uuid4().hex)
    try:
        make_folder(temp_folder)
        make_folder(parent(path))
        if is_remote(path):
            with (
                as_system_errors(path),
                FileSystems.create(temporary, compression_type=_AS_IT_IS) as file,
            ):
                yield file
        else:
            with Path(temporary).open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            remove_file(temporary)
        if isinstance(error, OSError):
            rule = f"{path} must be written to its end"
            raise ShardError(
                f"{rule}, got: {error.strerror or error}; once that is mended, the same command "
                "goes on where it stopped"
            ) from error
        raise


def _replace(source: str, target: str) -> None:
    """Give a file another name, over an older file of that name."""
    if not is_remote(target):
        Path(source).replace(target)
        _sync_folder(Path(target).parent)
        return
    with as_system_errors(target):
        FileSystems.rename([source], [target])


def _sync_folder(folder: Path) -> None:
    """Make names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str, text: str, *, temp_folder: str) -> None:
    """Write a UTF-8 text file that appears under its name only when complete."""
    with atomic_output(path, temp_folder=temp_folder) as file:
        file.write(text.encode("utf-8"))


def write_json(path: str, value: object, *, temp_folder: str) -> None:
    """Write a JSON file that appears under its name only when complete; paths become text."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
    write_text(path, text, temp_folder=temp_folder)


def size_of(path: str) -> int:
    """Return the bytes of a file."""
    if not is_remote(path):
        return Path(path).stat().st_size
    with as_system_errors(path):
        return int(FileSystems.get_filesystem(path).size(path))


def make_folder(path: str) -> None:
    """Create a folder and its parents where the file system has folders."""
    if is_remote(path):
        return
    folder = Path(path)
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def remove_tree(path: str) -> None:
    """Delete a file, or a folder and everything in it; nothing happens if it does not exist."""
    if is_remote(path):
        _remove_remote([join(path, name) for name in list_remote_sizes(path)])
        remove_file(path)
    elif Path(path).is_dir():
        shutil.rmtree(path)
    else:
        remove_file(path)


def remove_file(path: str) -> None:
    """Delete a file; nothing happens if it does not exist."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        _remove_remote([path])


def _remove_remote(paths: list[str]) -> None:
    if paths:
        with as_system_errors(parent(paths[0])):
            FileSystems.delete(paths)


def withdraw(path: str) -> None:
    """Delete a marker file for good, before what it stands for is changed."""
    remove_file(path)
    if not is_remote(path) and Path(path).parent.is_dir():
        _sync_folder(Path(path).parent)


def parent(path: str) -> str:
    """Return the folder of a path."""
    return str(FileSystems.split(path)[0])


def video_source(path: str, *, num_bytes: int, max_mib: int) -> Video:
    """Return a video in the form that child processes open.

    Args:
        path: The video, local or remote.
        num_bytes: Its size when the run was planned.
        max_mib: Largest copy that may be made of a remote one.
    """
    if not is_remote(path):
        return Path(path)
    flags = options_in_use()
    return RemoteVideo(path=path, num_bytes=num_bytes, max_mib=max_mib, beam_flags=flags)
