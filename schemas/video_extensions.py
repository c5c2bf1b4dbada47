"""Which files of a folder count as videos, and how their names split into stem and extension."""

VIDEO_EXTENSIONS = (
    ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
)  # fmt: skip
"""Extensions of video files, compared without regard to case."""

_KNOWN = frozenset(VIDEO_EXTENSIONS)


def split_extension(path: str) -> tuple[str, str]:
    """Split a POSIX path into everything before the video extension, and the extension.

    Args:
        path: A path or a bare name. Other endings than `VIDEO_EXTENSIONS` stay in the stem, so
            names with dots in them (`take.2`) survive.

    Returns:
        (stem, extension as written), the extension "" where it is not a known one.
    """
    stem, dot, ending = path.rpartition(".")
    if dot and f".{ending.lower()}" in _KNOWN and not stem.endswith("/") and stem:
        return stem, f".{ending}"
    return path, ""


def is_video_path(path: str) -> bool:
    """Tell whether a path names a video: a known extension, or none at all.

    Downloaders leave files without an extension, so those count. Hidden files and everything in
    hidden folders (`.cache/a.mp4`, `._a.mp4` of macOS) do not.
    """
    if path.startswith(".") or "/." in path:
        return False
    name = path.rpartition("/")[2]
    return bool(name) and ("." not in name or split_extension(name)[1] != "")
