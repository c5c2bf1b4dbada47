"""Videos, annotations and outputs in a bucket: the bytes of a local run, whatever happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Snapshot = Callable[[Path], dict[str, Any]]
Download = Callable[[str, Path], Path]


def comparable(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot without folders, and without places and workers in run.json."""
    info = snapshot.get("run.json", {"config": {}})
    for name in ("annotations", "videos", "output", "workers"):
        info["config"].pop(name, None)
    return {name: value for name, value in snapshot.items() if value is not True}


def test_remote_build_gives_the_bytes_of_the_local_one(
    cloud: str,
    remote_arguments: Arguments,
    download: Download,
    built: Path,
    tmp_path: Path,
    snapshot: Snapshot,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(remote_arguments("out", "--workers", "2")) == 0
    local = download(f"{cloud}/out", tmp_path / "out")
    assert comparable(snapshot(local)) == comparable(snapshot(built))
    assert main(["verify", f"{cloud}/out"]) == 0
    capsys.readouterr()
    assert main(remote_arguments("out")) == 0
    assert "nothing to do" in capsys.readouterr().out
