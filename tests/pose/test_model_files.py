import hashlib
import io
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from pose import model_files
from pose.assets import asset_path, fetch_asset, list_assets, locate_model
from pose.model_files import MODEL_FILES, ModelFile
from schemas.errors import ConfigError

CONTENT = b"weights"
MODEL = ModelFile(
    name="tiny",
    version="1",
    file_name="tiny.onnx",
    sha256=("0" * 64, hashlib.sha256(CONTENT).hexdigest()),
    url="https://example.org/tiny.onnx",
    licence="Apache-2.0",
    spec="yolox-416",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pose.assets.ASSETS", (MODEL,))
    monkeypatch.setattr("pose.assets.MODEL_FILES", (MODEL,))
    return tmp_path / "cache"


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that are opened; each of them gives CONTENT."""
    opened: list[str] = []

    def open_url(url: str, timeout: float) -> Any:
        assert timeout > 0
        opened.append(url)
        return io.BytesIO(CONTENT)

    monkeypatch.setattr(model_files.urllib.request, "urlopen", open_url)
    return opened


def test_a_model_is_downloaded_once(downloads: list[str]) -> None:
    lines: list[str] = []
    path = fetch_asset("tiny", progress=lines.append)
    assert path.read_bytes() == CONTENT
    fetch_asset("tiny", progress=lines.append)
    assert downloads == [MODEL.url]
    assert [row.is_fetched for row in list_assets()] == [True]
    assert "already at" in lines[-1]


def test_a_model_from_a_file_touches_no_network(tmp_path: Path, downloads: list[str]) -> None:
    (tmp_path / "copy").write_bytes(CONTENT)
    assert fetch_asset("tiny", source=tmp_path / "copy").read_bytes() == CONTENT
    assert downloads == []


def test_a_file_with_another_digest_is_refused_and_leaves_nothing(
    tmp_path: Path, downloads: list[str]
) -> None:
    (tmp_path / "copy").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"must have SHA-256 0{64} or [0-9a-f]{64}, got [0-9a-f]"):
        fetch_asset("tiny", source=tmp_path / "copy")
    assert not asset_path("tiny").exists()
    fetch_asset("tiny")
    with pytest.raises(ConfigError, match="must have SHA-256"):  # also where an intact one is there
        fetch_asset("tiny", source=tmp_path / "copy")
    assert downloads == [MODEL.url]


def test_a_download_with_another_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        model_files.urllib.request, "urlopen", lambda *_a, **_k: io.BytesIO(b"<html>404</html>")
    )
    with pytest.raises(ConfigError, match=r"tiny\.onnx must have SHA-256"):
        fetch_asset("tiny")
    assert not asset_path("tiny").exists()


def test_without_network_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(model_files.urllib.request, "urlopen", fail)
    with pytest.raises(ConfigError, match=r"must be reachable, got .*no route.*--from"):
        fetch_asset("tiny")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--from must be a readable file, got .*nowhere"):
        fetch_asset("tiny", source=tmp_path / "nowhere")


def test_a_model_nobody_offers_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr("pose.assets.ASSETS", (replace(MODEL, url=""),))
    with pytest.raises(ConfigError, match="model tiny must be given by --from FILE"):
        fetch_asset("tiny")


def test_models_are_located_by_name_or_file(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(CONTENT)
    path = fetch_asset("tiny", source=tmp_path / "copy")
    found, spec = locate_model("x", "tiny", None)
    assert (found, spec.head) == (path, "yolox")
    found, spec = locate_model("x", str(tmp_path / "copy"), "simcc-256x192")
    assert (found, spec.head) == (tmp_path / "copy", "simcc")


def test_pinned_models_have_whole_digests_and_secure_addresses() -> None:
    for model in MODEL_FILES:
        assert all(len(digest) == 64 for digest in model.sha256), model.name
        assert model.url == "" or model.url.startswith("https://"), model.name
    assert len({model.name for model in MODEL_FILES}) == len(MODEL_FILES)
