"""Which ports each way to run opens, and the portable job service as a runner."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Snapshot = Callable[[Path], dict[str, Any]]

LOOPBACK = {"127.0.0.1", "::1"}


def test_local_run_opens_no_port(
    built: Path, tmp_path: Path, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    output = tmp_path / "out"
    process = _start(["-m", "pipelines", *build_arguments(output, "--workers", "2")])
    listeners, num_processes = _watch(process)
    assert process.returncode == 0
    assert num_processes >= 4, "coordinator, fork server and two children were looked at"
    assert listeners == set()
    assert _comparable(snapshot(output)) == _comparable(snapshot(built))


@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_modes_that_open_ports_do_so_on_all_addresses(
    mode: str, tmp_path: Path, build_arguments: Arguments
) -> None:
    """Why they are not the default: whoever reaches the machine reaches these ports."""
    arguments = build_arguments(tmp_path / "out", "--modalities", "rgb", "--limit", "1")
    beam = ["--", "--runner=FnApiRunner", f"--direct_running_mode={mode}"]
    process = _start(["-m", "pipelines", *arguments, *beam])
    listeners, _ = _watch(process)
    assert listeners
    assert {address for address, _ in listeners} - LOOPBACK


def test_portable_job_service_with_loopback_gives_the_same_bytes(
    built: Path, tmp_path: Path, build_arguments: Arguments, snapshot: Snapshot
) -> None:
    """What Flink's and Spark's job servers speak; they themselves are not run here."""
    output = tmp_path / "out"
    with _job_service() as port:
        beam = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
        beam += ["--environment_type=LOOPBACK"]
        process = _start(["-m", "pipelines", *build_arguments(output), "--", *beam])
        listeners, _ = _watch(process)
    assert process.returncode == 0
    assert listeners, "the worker pool of LOOPBACK listens in the coordinator"
    assert _comparable(snapshot(output)) == _comparable(snapshot(built))


def _comparable(snapshot: dict[str, Any]) -> dict[str, Any]:
    snapshot["run.json"]["config"].pop("workers")
    return snapshot


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=nowhere, stderr=nowhere, start_new_session=True
    )


def _watch(process: subprocess.Popen[bytes]) -> tuple[set[tuple[str, int]], int]:
    """Addresses that any process of a session has listened on until it ended, and how many."""
    listeners: set[tuple[str, int]] = set()
    seen: set[int] = set()
    deadline = time.monotonic() + 240
    while process.poll() is None:
        assert time.monotonic() < deadline, "waited too long"
        for each in psutil.process_iter():
            try:
                if os.getsid(each.pid) != process.pid:
                    continue
                found = each.net_connections(kind="inet")
            except (ProcessLookupError, psutil.Error):
                continue
            seen.add(each.pid)
            listeners |= {tuple(c.laddr) for c in found if c.status == psutil.CONN_LISTEN}
        time.sleep(0.1)
    return listeners, len(seen)


@contextmanager
def _job_service() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    module = "apache_beam.runners.portability.local_job_service_main"
    service = _start(["-m", module, "--job_port", str(port)])
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert service.poll() is None, "the job service ended"
            assert time.monotonic() < deadline, "the job service does not answer"
            time.sleep(0.1)
        yield port
    finally:
        service.kill()
        service.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
