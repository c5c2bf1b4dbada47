"""The files of the videos folder: those that may be read, and those that may not."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ConfigError
from schemas.outcome import Outcome

_WAY_OUT = "give --follow-links if it may be read, or put the file itself there"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusableFile:
    """An entry of the videos folder that no clip may be read from."""

    outcome: Outcome
    """What becomes of a row that needs it."""
    detail: str
    """Rule, value and way out, for a person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFolder:
    """All entries below a videos folder by relative path, with `/` between folders."""

    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of every file."""
    unusable: dict[str, UnusableFile] = field(default_factory=dict)
    """Files, links to files and links to folders that are not read."""


def list_videos(folder: str, *, follow_links: bool) -> VideoFolder:
    """Return what lies below a local videos folder.

    A link to a place outside of the folder is unusable unless links are followed: who may write
    into the folder could otherwise name any file of this machine. What lies behind such a link
    to a folder is not listed.

    Args:
        folder: Its path.
        follow_links: Whether links may lead out of the folder.

    Raises:
        ConfigError: If the folder does not exist or cannot be read.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"videos must be an existing folder, got {folder}")
    lister = _Lister(os.path.realpath(folder), follow_links=follow_links)
    try:
        lister.add_folder(folder, "", frozenset())
    except OSError as error:
        rule = "videos must be a folder that can be read with all folders in it"
        raise ConfigError(f"{rule}, got {error.filename}: {error.strerror}") from error
    return lister.found


class _Lister:
    """Walks a local folder; `root` is its real path."""

    def __init__(self, root: str, *, follow_links: bool) -> None:
        self.found = VideoFolder()
        self._root = root
        self._follow_links = follow_links

    def add_folder(self, folder: str, prefix: str, above: frozenset[str]) -> None:
        """Add all entries of a folder, also behind links, except behind links to folders above.

        Args:
            folder: Its path.
            prefix: Its path below the root, with `/` at the end; "" for the root.
            above: Real paths of the folders that it is in.
        """
        real = os.path.realpath(folder)
        if real in above:
            return
        for entry in sorted(_entries(folder), key=lambda entry: entry.name):
            name = f"{prefix}{entry.name}"
            problem = self._describe_link(entry) if entry.is_symlink() else _describe_name(name)
            if problem is not None:
                self.found.unusable[name] = problem
            elif entry.is_dir():
                self.add_folder(entry.path, f"{name}/", above | {real})
            elif entry.is_file():
                self.found.sizes[name] = entry.stat().st_size

    def _describe_link(self, entry: os.DirEntry[str]) -> UnusableFile | None:
        """Say why a link is not followed; None if it is."""
        target = os.path.realpath(entry.path)
        if not os.path.lexists(target) or Path(target).is_symlink():  # nowhere, or in circles
            detail = f"file must not be a link to nothing, got one to {target}; fetch it again"
            return UnusableFile(outcome=Outcome.MISSING, detail=detail)
        is_inside = target == self._root or target.startswith(self._root.rstrip("/") + "/")
        if is_inside or self._follow_links:
            return _describe_name(entry.name)
        rule = "file must lie in the videos folder"
        detail = f"{rule}, got a link out of it to {target}; {_WAY_OUT}"
        return UnusableFile(outcome=Outcome.FAILED, detail=detail)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _describe_name(name: str) -> UnusableFile | None:
    """Say that a name cannot be stored; None if it can."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
        detail = f"path must be one line of UTF-8 text, got {shown!r}; rename the file"
        return UnusableFile(outcome=Outcome.FAILED, detail=detail)
    return None
