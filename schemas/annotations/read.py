"""Read the annotations of any supported data set."""

from collections.abc import Callable, Iterable
from typing import Literal, get_args

from schemas.annotations.folder import parse_folder
from schemas.annotations.hmdb51 import is_hmdb51_list, parse_hmdb51
from schemas.annotations.kinetics import parse_kinetics
from schemas.annotations.plain_csv import parse_plain_csv
from schemas.annotations.text_files import LocalTextFiles, TextFiles
from schemas.annotations.ucf101 import is_ucf101_list, parse_ucf101
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap

DatasetName = Literal[
    "kinetics400", "kinetics600", "kinetics700", "ucf101", "hmdb51", "csv", "folder"
]
DATASETS = get_args(DatasetName)
"""Names that `read_annotations` takes."""


def read_annotations(
    dataset: str,
    path: str,
    *,
    split: str,
    label_map: LabelMap | None = None,
    video_paths: Iterable[str] | None = None,
    files: TextFiles | None = None,
) -> AnnotationTable:
    """Read all annotation rows of one split.

    Args:
        dataset: One of `DATASETS`.
        path: The CSV file (kinetics*, csv), the folder of lists (ucf101, hmdb51), or the videos
            folder (folder; used in messages only).
        split: For kinetics* and csv a value of the column `split`; `train1` ... `test3` for
            ucf101 and hmdb51; any name for folder.
        label_map: Labels in index order; None takes the data set's own order.
        video_paths: For `folder` only: paths below the videos folder, `/` between folders.
        files: Reads `path`; None = the local disk.

    Returns:
        Every row of the split, either a clip or rejected. Clip ids are unique.

    Raises:
        ConfigError: If the data set is unknown, a file is missing, empty or of another format,
            or holds no row of the split.
    """
    files = LocalTextFiles() if files is None else files
    match dataset:
        case "kinetics400" | "kinetics600" | "kinetics700":
            text = files.read_text(path)
            return parse_kinetics(
                text, dataset=dataset, split=split, source=path, label_map=label_map
            )
        case "ucf101":
            texts = _read_folder(files, path, is_ucf101_list)
            return parse_ucf101(texts, split=split, source=path, label_map=label_map)
        case "hmdb51":
            texts = _read_folder(files, path, is_hmdb51_list)
            return parse_hmdb51(texts, split=split, source=path, label_map=label_map)
        case "csv":
            text = files.read_text(path)
            return parse_plain_csv(text, split=split, source=path, label_map=label_map)
        case "folder":
            if video_paths is None:
                raise ConfigError("video_paths must be given for the data set 'folder', got None")
            return parse_folder(video_paths, split=split, source=path, label_map=label_map)
    raise ConfigError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")


def _read_folder(files: TextFiles, path: str, is_list: Callable[[str], bool]) -> dict[str, str]:
    """Return the content of the folder's list files by name."""
    names = [name for name in files.list_names(path) if is_list(name)]
    return {name: files.read_text(f"{path.rstrip('/')}/{name}") for name in names}
