"""Models that are one file each: where it comes from, its SHA-256, and what it is."""

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from pose.model_spec import SpecName
from schemas.errors import ConfigError

_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """One file in the cache that is taken as it is."""

    name: str
    """What the CLI calls it."""
    version: str
    """Version of the model; part of the path in the cache."""
    file_name: str
    """Name of the file in the cache."""
    sha256: tuple[str, ...]
    """SHA-256 hex digests of the file; several if the same weights were published twice."""
    url: str
    """Where its authors offer the file; "" if they offer it in no such form."""
    licence: str
    """SPDX name of the licence of the model."""
    spec: SpecName | None
    """What it is; None for a model that is no ONNX file."""


MODEL_FILES = (
    ModelFile(
        name="yolox-nano",
        version="0.1.1rc0",
        file_name="yolox_nano.onnx",
        sha256=(
            "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",  # at the URL
            "695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",  # exported again
        ),
        url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
        "yolox_nano.onnx",
        licence="Apache-2.0",
        spec="yolox-416",
    ),
    ModelFile(
        name="rtmdet-nano",
        version="person",
        file_name="rtmdet_nano_person.onnx",
        sha256=("3ffba1489bb1cd4e4744f505f6423e2173c188795860e94c0fe9937ab6133a0f",),
        url="",
        licence="Apache-2.0",
        spec="rtmdet-320",
    ),
    ModelFile(
        name="tinypose-256x192",
        version="w16",
        file_name="tinypose_256x192_w16_dyn.onnx",
        sha256=("958c3454f0e527fffcc710810f174b46d51eaab299ee42f2c7e20bfaea4db4ee",),
        url="",
        licence="Apache-2.0",
        spec="heatmap-256x192",
    ),
    ModelFile(
        name="tinypose-128x96",
        version="w16",
        file_name="tinypose_128x96_w16_dyn.onnx",
        sha256=("ab6702e08447b3bb7a5d0eaeb5134c0e53cfdeb9bf6bd181fb7630afdb0a763e",),
        url="",
        licence="Apache-2.0",
        spec="heatmap-128x96",
    ),
    ModelFile(
        name="movenet-lightning-int8",
        version="4",
        file_name="movenet_singlepose_lightning_int8.tflite",
        sha256=("cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105",),
        url="https://tfhub.dev/google/lite-model/movenet/singlepose/lightning/tflite/int8/4"
        "?lite-format=tflite",
        licence="Apache-2.0",
        spec=None,
    ),
)
"""Every model that is fetched as one file."""


def read_model_file(model: ModelFile, source: Path | None) -> bytes:
    """Return the content of a model, from its authors or from a file.

    Args:
        model: Which one.
        source: A copy of the file; None: download it.

    Raises:
        ConfigError: If it cannot be had, or has another SHA-256 than pinned.
    """
    content = _download(model) if source is None else _read(source)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in model.sha256:
        raise ConfigError(
            f"{source or model.url} must have SHA-256 {' or '.join(model.sha256)}, got {digest}; "
            "a model of your own needs no fetching: give its file to the back end"
        )
    return content


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"--from must be a readable file, got {source} ({error.strerror})"
        ) from error


def _download(model: ModelFile) -> bytes:
    if not model.url:
        raise ConfigError(
            f"model {model.name} must be given by --from FILE, as its authors do not offer this "
            f"form of it; the file must have SHA-256 {' or '.join(model.sha256)}"
        )
    try:
        with urllib.request.urlopen(model.url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise ConfigError(
            f"{model.url} must be reachable, got {error}; fetch it on another machine and give "
            "the file with --from"
        ) from error
    return content
