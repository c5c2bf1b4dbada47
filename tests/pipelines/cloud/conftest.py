"""A Cloud Storage of this machine, and an account for it; loopback only, no cloud account."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SECRET = "secret-that-must-not-be-written-anywhere"  # noqa: S105 - tests look for it
TOKEN = "token-that-must-not-be-written-anywhere"  # noqa: S105 - tests look for it
BUCKET = "gs://bucket"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _TokenHandler(BaseHTTPRequestHandler):
    """What an account's `token_url` answers."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = {
            "access_token": TOKEN,
            "expires_in": 3600,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        answer = json.dumps(body).encode("ascii")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _write_account(folder: Path, token_url: str) -> Path:
    """An account of another identity provider: its tokens come from `token_url`."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    account = {
        "type": "external_account",
        "audience": "loopback",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_url,
        "credential_source": {"file": str(secret)},
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return path


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """File that names an account; its tokens are given out on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TokenHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/token"
    yield _write_account(tmp_path_factory.mktemp("account"), url)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an emulated Cloud Storage with the bucket `bucket`."""
    pytest.importorskip("google.cloud.storage", reason="needs: pip install '.[gcp]'")
    pytest.importorskip("gcp_storage_emulator")
    address = f"127.0.0.1:{(port := free_port())}"
    log = tmp_path_factory.mktemp("storage_server") / "log"
    module = ("-m", "gcp_storage_emulator", "start", "--in-memory", "--default-bucket", "bucket")
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, *module, "--host", "127.0.0.1", "--port", str(port)],
            stdout=file,
            stderr=file,
        )
    try:
        _wait_for_server(f"http://{address}/storage/v1/b/bucket", server)
        yield f"http://{address}"
    finally:
        server.kill()
        server.wait()


def _wait_for_server(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, "the emulator ended"
        try:
            urllib.request.urlopen(url).close()  # noqa: S310 - loopback
        except OSError:
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def cloud(storage_server: str, account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Folder of the bucket for one test; this process and its children reach it."""
    from apache_beam.internal.gcp import auth
    from apache_beam.io.filesystems import FileSystems

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)
    timeout = socket.getdefaulttimeout()
    _stop_fork_server()  # it was given the environment of its start
    yield f"{BUCKET}/{os.urandom(4).hex()}"
    _stop_fork_server()
    socket.setdefaulttimeout(timeout)


def _stop_fork_server() -> None:
    from multiprocessing import forkserver

    forkserver._forkserver._stop()  # type: ignore[attr-defined]


Upload = Callable[[Path, str], str]
Download = Callable[[str, Path], Path]


@pytest.fixture(scope="session")
def upload() -> Upload:
    """Copies a file or folder into the bucket; gives its path there."""
    from pipelines import storage

    def copy(source: Path, target: str) -> str:
        from apache_beam.io.filesystems import FileSystems

        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for path in files:
            name = target if source.is_file() else f"{target}/{path.relative_to(source).as_posix()}"
            with FileSystems.create(name, compression_type="uncompressed") as file:
                file.write(path.read_bytes())
            assert storage.size_of(name) == path.stat().st_size
        return target

    return copy


@pytest.fixture(scope="session")
def download() -> Download:
    """Copies a folder of the bucket to a local one, which may not exist yet."""
    from pipelines import storage

    def copy(source: str, target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        for name in storage.list_remote_sizes(source):
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read_bytes(f"{source}/{name}"))
        return target

    return copy


Arguments = Callable[..., list[str]]


@pytest.fixture
def remote_arguments(
    cloud: str, upload: Upload, video_set: Path, build_arguments: Arguments
) -> Callable[..., list[str]]:
    """Gives the arguments of a quick build of `video_set` from the bucket into it.

    The poses stay local: they lie on every worker, as models do.
    """
    upload(video_set / "videos", f"{cloud}/videos")
    upload(video_set / "rows.csv", f"{cloud}/rows.csv")

    def arguments(name: str = "out", *extra: str) -> list[str]:
        given = build_arguments(Path("unused"))
        places: dict[str, Any] = {
            "--output": f"{cloud}/{name}",
            "--annotations": f"{cloud}/rows.csv",
            "--videos": f"{cloud}/videos",
        }
        for option, place in places.items():
            given[given.index(option) + 1] = place
        return [*given, *extra]

    return arguments


@pytest.fixture
def contents(
    tmp_path: Path, download: Download, snapshot: Callable[[Path], dict[str, Any]]
) -> Callable[[str | Path], dict[str, Any]]:
    """Gives all of an output, in the bucket or not, that builds of the same have in common.

    See `snapshot`; folders are left out, and of run.json places, workers and the environment.
    """

    def take(output: str | Path) -> dict[str, Any]:
        local = output if isinstance(output, Path) else download(output, tmp_path / "downloaded")
        found = snapshot(local)
        del found["run.json"]["environment"]
        for name in ("annotations", "videos", "output", "workers"):
            found["run.json"]["config"].pop(name, None)
        return {name: value for name, value in found.items() if value is not True}

    return take
