"""Find the file of a clip among the files below a videos folder.

How people keep Kinetics, UCF101 and HMDB51 differs; a clip is looked up by what its annotation
gives: a YouTube id and a time range (Kinetics), or a path (all others).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.annotations.kinetics import format_kinetics_stem
from schemas.clip import Clip
from schemas.video_extensions import is_video_path, split_extension

_DATASETS_WITH_UNIQUE_FILE_NAMES = ("ucf101", "hmdb51")
_REPLACEMENT_FOLDER = "replacement"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocatedVideo:
    """The file that belongs to a clip."""

    relative_path: str
    """Below the videos folder, as the index was given it."""
    is_trimmed: bool | None
    """True: the file is the clip. False: cut the clip's time range out of it. None: the name does
    not tell (Kinetics as `<id>.mp4`); the duration must."""


class VideoIndex:
    """All files below a videos folder, ready to be asked for the file of a clip.

    Args:
        paths: Paths relative to the videos folder, `/` between folders, in any order. Files that
            are no videos by name are found by their exact path only.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._by_lower_stem: dict[str, list[str]] = {}
        for path in self._paths:
            if is_video_path(path):
                self._by_lower_stem.setdefault(_stem(path).lower(), []).append(path)

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, clip: Clip) -> LocatedVideo | None:
        """Return the file of a clip, None if there is none.

        A clip without a path (Kinetics) is found by id, and ids that differ by case are different
        videos. Of several files the best is taken: one in a `replacement*` folder (CVDF's repaired
        files), then `<id>_<start>_<end>` before `<id>`, then one in a folder of the clip's class
        (as it is or with `_` for spaces), then the shortest path, then the first in the alphabet.

        A clip with a path is found by this path. Otherwise, for UCF101 and HMDB51 whose file names
        are unique, by file name in any folder; for other data sets in the same folder only. The
        best file has the same stem to the case, then the same extension, then the same extension
        to the case, then is in a folder of the clip's class, then has the shortest path, then is
        first in the alphabet.

        Args:
            clip: The clip; `dataset`, `media_id`, `relative_path`, `label_text`, start and end
                are used.

        Returns:
            The file, the same for any order of the index's paths.
        """
        if not clip.relative_path:
            return self._find_by_id(clip)
        path = self._find_by_path(clip)
        if path is None:
            return None
        is_whole_file = clip.start_seconds is None and clip.end_seconds is None
        own_stem = _own_stem(clip)
        names_its_range = own_stem is not None and _stem(path).endswith(
            own_stem.removeprefix(clip.media_id)
        )
        return LocatedVideo(relative_path=path, is_trimmed=is_whole_file or names_its_range)

    def _find_by_id(self, clip: Clip) -> LocatedVideo | None:
        """Return the file of a Kinetics clip."""
        own_stem = _own_stem(clip)
        stems = {clip.media_id, own_stem or clip.media_id}
        paths = [path for stem in stems for path in self._with_stem(stem) if _stem(path) == stem]
        if not paths:
            return None
        best = min(
            paths,
            key=lambda path: (
                not _is_replacement(path),
                _stem(path) != own_stem,
                *_preference(path, clip),
            ),
        )
        return LocatedVideo(
            relative_path=best, is_trimmed=True if _stem(best) == own_stem else None
        )

    def _find_by_path(self, clip: Clip) -> str | None:
        """Return the path that fits best to the clip's annotated path."""
        wanted = clip.relative_path
        if wanted in self._paths:
            return wanted
        stem, extension = _stem(wanted), split_extension(wanted)[1]
        paths = self._with_stem(stem)
        if clip.dataset not in _DATASETS_WITH_UNIQUE_FILE_NAMES:
            folder_and_stem = split_extension(wanted)[0]
            paths = [path for path in paths if split_extension(path)[0] == folder_and_stem]

        def rank(path: str) -> tuple[bool, bool, bool, bool, int, str]:
            found = split_extension(path)[1]
            other_extension = found.lower() != extension.lower()
            return (
                _stem(path) != stem,
                other_extension,
                found != extension,
                *_preference(path, clip),
            )

        return min(paths, key=rank, default=None)

    def _with_stem(self, stem: str) -> list[str]:
        """Return the paths of the files with this stem in any case."""
        return self._by_lower_stem.get(stem.lower(), [])


def _stem(path: str) -> str:
    """Return the file name without folder and video extension."""
    return split_extension(path.rpartition("/")[2])[0]


def _own_stem(clip: Clip) -> str | None:
    """Return the stem that says: this file is the clip and nothing else."""
    start, end = clip.start_seconds, clip.end_seconds
    if start is None and end is None:
        return clip.media_id
    if start is None or end is None:
        return None
    return format_kinetics_stem(clip.media_id, start, end)


def _is_replacement(path: str) -> bool:
    """Tell whether the file is in a folder of replacements for damaged files."""
    return any(part.startswith(_REPLACEMENT_FOLDER) for part in path.split("/")[:-1])


def _preference(path: str, clip: Clip) -> tuple[bool, int, str]:
    """Return the sort key among files that fit equally well; the lowest is taken."""
    label = clip.label_text or ""
    folders = path.split("/")[:-1]
    is_in_class = bool(label) and (label in folders or label.replace(" ", "_") in folders)
    return not is_in_class, len(path), path
