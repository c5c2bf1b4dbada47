"""A tree with one folder per class; the tree itself is the annotation."""

from collections.abc import Iterable

from schemas.annotations.derived_labels import derive_label_map
from schemas.annotations.fields import bad_field, check_relative_path, show
from schemas.annotations.rows import NamedClip, Row, collect_clips
from schemas.clip import AnnotationTable, Clip
from schemas.errors import ConfigError
from schemas.labels import LabelMap
from schemas.video_extensions import is_video_path, split_extension


def parse_folder(
    video_paths: Iterable[str], *, split: str, source: str, label_map: LabelMap | None = None
) -> AnnotationTable:
    """Read the files below a videos folder as clips, each with its first folder as label.

    Files that are no videos by name (`video_extensions.is_video_path`) are no rows. A video
    outside of any class folder is a rejected row. `Clip.source` is the path: there are no lines.

    Args:
        video_paths: Paths below the videos folder with `/` between folders, in any order.
        split: The name for the split; all files belong to it.
        source: The videos folder, for messages.
        label_map: Labels in index order; None takes the sorted names of the class folders.

    Returns:
        Every video as a clip or a rejected row, in the order of their paths.

    Raises:
        ConfigError: If there is no video, or two class folders are alike to the case and spaces.
    """
    rows = [
        Row(path, {"video": path}, path.split("/")[0] if "/" in path else None)
        for path in sorted({path.removeprefix("./") for path in video_paths})
        if is_video_path(path.removeprefix("./"))
    ]
    if not rows:
        raise ConfigError(
            f"{source} must hold videos as <class>/<file>, got no video file; "
            "name the folder above the class folders"
        )

    def parse_row(row: Row) -> NamedClip:
        return _parse_row(row, split=split)

    if label_map is None:
        label_map = derive_label_map({row.label_text or "": f"{source}/" for row in rows})
    return collect_clips(rows, parse_row, label_map)


def _parse_row(row: Row, *, split: str) -> NamedClip:
    """Return the clip of one file."""
    path = check_relative_path("video", row.cells["video"])
    if "/" not in path:
        raise bad_field(f"video must be in a class folder as <class>/<file>, got {show(path)}")
    stem = split_extension(path)[0]
    clip = Clip(
        clip_id=stem,
        dataset="folder",
        split=split,
        label_text=row.label_text,
        media_id=stem.rpartition("/")[2],
        relative_path=path,
        start_seconds=None,
        end_seconds=None,
        source=row.source,
    )
    return NamedClip(clip, path)
