"""Export to mmaction2's raw frames: JPEG files by class and clip, and lists of clips by split."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TextIO

from pipelines.export_config import Mmaction2Options
from pipelines.export_folder import (
    ClipNames,
    Exported,
    new_folder,
    open_outputs,
    read_clips,
    safe_name,
)
from pipelines.finished_output import FinishedOutput
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from video.jpeg import decode_jpeg, encode_jpeg

_Images = dict[str, tuple[Sequence[bytes], ...]]
"""JPEGs by modality, one tuple for each of its `file_names`."""

FRAMES_FOLDER = "rawframes"
NO_LABEL = "no_label"
"""Folder of clips without a label, where the others have one for each class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stream:
    """The files of one modality."""

    modality: str
    file_names: tuple[str, ...]
    """Beginnings; each is followed by the number of the frame, from 1 on."""


_STREAMS = {
    "rgb": _Stream(modality="rgb", file_names=("img",)),
    "flow": _Stream(modality="flow", file_names=("flow_x", "flow_y")),
    "pose": _Stream(modality="pose", file_names=("pose",)),
    "pa": _Stream(modality="pa", file_names=("pa",)),
}


def export_mmaction2(options: Mmaction2Options) -> Exported:
    """Write the clips of finished outputs as mmaction2's `RawframeDataset` reads them.

    ```
    rawframes/<class>/<clip>/img_00001.jpg flow_x_00001.jpg flow_y_00001.jpg pose_00001.jpg
                             pa_00001.jpg
    rgb_<split>.txt flow_<split>.txt ...    class/clip number_of_frames label
    label_map.txt
    ```

    JPEGs are copied as they are stored; only flow of outputs without Parquet is encoded again.

    Raises:
        ConfigError: If an output cannot be used or lacks a stream, two classes or clips would
            have one name, or the destination is not empty.
        ShardError: If an output is damaged.
    """
    outputs = open_outputs(options.sources)
    for output in outputs:
        _check_streams(output, options.modalities)
    classes = _class_names(outputs[0].labels.texts)
    done = Exported(kind="mmaction2")
    names = ClipNames()
    with new_folder(options.destination) as folder, ExitStack() as stack:
        lists = _Lists(folder, stack)
        for output, record in read_clips(outputs):
            class_name = classes[record.label_index] if record.label_index >= 0 else NO_LABEL
            name = f"{class_name}/{safe_name(record.clip_id)}"
            images: _Images = {each: _images(record, output, each) for each in options.modalities}
            if names.claim(name, record, output.folder, _digest(images)):
                _write_frames(folder / FRAMES_FOLDER / name, images, done)
                done.num_clips += 1
                done.num_frames += record.num_frames
            for modality, columns in images.items():
                label = f" {record.label_index}" if record.label_index >= 0 else ""
                line = f"{name} {len(columns[0])}{label}\n"
                lists.add(f"{modality}_{record.split}.txt", line)
        (folder / "label_map.txt").write_text(outputs[0].labels.to_text(), encoding="utf-8")
        lists.finish()
    if "flow" in options.modalities and any(_encodes_flow_again(output) for output in outputs):
        done.note = "flow encoded again, as there is no Parquet"
    return done


class _Lists:
    """Lists of clips that get their names only when all are complete."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._files: dict[str, TextIO] = {}

    def add(self, name: str, line: str) -> None:
        """Append a line to a list."""
        if name not in self._files:
            part = self._folder / f"{name}.part"
            self._files[name] = self._stack.enter_context(part.open("x", encoding="utf-8"))
        self._files[name].write(line)

    def finish(self) -> None:
        """Close all lists and give them their names."""
        for name, file in self._files.items():
            file.close()
            (self._folder / f"{name}.part").rename(self._folder / name)


def _check_streams(output: FinishedOutput, modalities: Sequence[str]) -> None:
    stored = set(output.modalities)
    if output.pose_storage == "keypoints":
        stored -= {"pose"}
    missing = [each for each in modalities if each not in stored]
    if missing:
        raise ConfigError(
            f"modalities must be among those stored as images in {output.folder} "
            f"({', '.join(sorted(stored)) or 'none'}), got {', '.join(missing)}; "
            "choose others with --modalities"
        )


def _class_names(labels: Sequence[str]) -> list[str]:
    """The folder of each class, by label index."""
    names = [safe_name(label) for label in labels]
    for name, number in Counter([*names, NO_LABEL]).items():
        if number > 1:
            same = [label for label, each in zip(labels, names, strict=True) if each == name]
            raise ConfigError(
                f"labels must have different folder names, got {name} for "
                f"{' and '.join(map(repr, same))}"
            )
    return names


def _encodes_flow_again(output: FinishedOutput) -> bool:
    return "parquet" not in output.config["formats"]


def _images(
    record: ClipRecord, output: FinishedOutput, modality: str
) -> tuple[Sequence[bytes], ...]:
    """The JPEGs of a modality, one tuple for each of its `file_names`."""
    if modality == "rgb":
        return (record.rgb,)
    if modality == "pose":
        return (record.pose_overlay,)
    if modality == "pa":
        return (record.pa,)
    if record.flow_x:
        return record.flow_x, record.flow_y
    quality = int(output.config["jpeg"]["flow_quality"])
    pairs = [_split_flow(jpeg, quality) for jpeg in record.flow]
    return tuple(x for x, _ in pairs), tuple(y for _, y in pairs)


def _split_flow(jpeg: bytes, quality: int) -> tuple[bytes, bytes]:
    """The two grey JPEGs of a flow image."""
    code = decode_jpeg(jpeg)
    x, y = (encode_jpeg(code[..., axis].copy(), quality=quality) for axis in (0, 1))
    return x, y


def _digest(images: _Images) -> bytes:
    digest = blake2b(digest_size=16)
    for jpeg in (jpeg for columns in images.values() for column in columns for jpeg in column):
        digest.update(jpeg)
    return digest.digest()


def _files(images: _Images) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a clip; frames are numbered from 1 on."""
    for modality, columns in images.items():
        for beginning, column in zip(_STREAMS[modality].file_names, columns, strict=True):
            for index, jpeg in enumerate(column, start=1):
                yield f"{beginning}_{index:05d}.jpg", jpeg


def _write_frames(folder: Path, images: _Images, done: Exported) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ConfigError(
            f"clips must have names that differ in more than upper and lower case on this file "
            f"system, got {folder.parent.name}/{folder.name} twice"
        ) from error
    for name, jpeg in _files(images):
        (folder / name).write_bytes(jpeg)
        done.num_bytes += len(jpeg)
