"""Say in plain words what a file is that cannot be read as a video, and why a packet failed."""

import stat
from pathlib import Path

import av.error

from video.file_structure import top_level_boxes

_HEAD_BYTES = 4096
_QUOTED_CHARACTERS = 40
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_PLAIN_WORDS = (
    (av.error.InvalidDataError, "damaged data"),
    (av.error.EOFError, "it ends too early"),
    (av.error.PatchWelcomeError, "it uses a feature that FFmpeg lacks"),
    (av.error.DecoderNotFoundError, "FFmpeg has no decoder for it"),
    (av.error.ArgumentError, "impossible values"),
    (av.error.MemoryError, "it asks for more memory than there is"),
)


def kind_of_file(mode: int) -> str:
    """Return what an entry of a folder is in words, "" for a regular file.

    Args:
        mode: `st_mode` of the entry.
    """
    if stat.S_ISREG(mode):
        return ""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")


def plain_reason(error: Exception) -> str:
    """Return an FFmpeg error in words, without the path (which differs between machines)."""
    for kind, words in _PLAIN_WORDS:
        if isinstance(error, kind):
            return words
    return getattr(error, "strerror", None) or type(error).__name__


def describe_unreadable(path: Path) -> str:
    """Say what a file is, going by its content, that FFmpeg cannot open.

    Args:
        path: A local file that is not empty.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not any(head):
        return f"it begins with {len(head)} zero bytes: the download was not finished"
    line = _first_line(head)
    if line:
        return f"it is a text, not a video, and begins with {line!r}"
    boxes = top_level_boxes(path)
    if "ftyp" in boxes and "moov" not in boxes:
        return "its index (MP4 box moov) is missing: the end is cut off or was never written"
    size = path.stat().st_size
    return f"its {size} bytes are in no format that FFmpeg knows, or the header is damaged"


def _first_line(head: bytes) -> str:
    """Begin of a text: its first line that is not blank; "" if the bytes are no text."""
    try:
        # A character may be cut in two at the end of the head.
        text = head.decode("utf-8-sig", "strict" if len(head) < _HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return ""
    if any(not (character.isprintable() or character.isspace()) for character in text):
        return ""
    line = text.strip().partition("\n")[0].rstrip()
    return line if len(line) <= _QUOTED_CHARACTERS else line[:_QUOTED_CHARACTERS] + "..."
