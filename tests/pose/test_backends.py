import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.backends.mediapipe import MediaPipeBackend
from pose.backends.precomputed import PrecomputedBackend
from schemas.errors import ConfigError


def test_mediapipe_takes_a_model_from_a_path(tmp_path: Path) -> None:
    model = tmp_path / "model.task"
    model.write_bytes(b"model")
    assert isinstance(make_backend("mediapipe", PoseConfig(model=model)), MediaPipeBackend)


def test_mediapipe_needs_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="run `perfnet-prep models fetch mediapipe-pose-full`"):
        make_backend("mediapipe", PoseConfig())


def test_precomputed_poses_are_read_from_their_path(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    path.write_text(json.dumps([]))
    backend = make_backend("precomputed", PoseConfig(poses=path))
    assert isinstance(backend, PrecomputedBackend)
    backend.close()


def test_more_filled_frames_than_may_wait_are_refused() -> None:
    with pytest.raises(ConfigError, match="fill_gaps must be 0 to 64 frames, got 65"):
        PoseConfig(fill_gaps=65)


@pytest.mark.parametrize("name", get_args(PoseBackendName))
def test_the_limit_of_people_counts_for_every_back_end(name: PoseBackendName) -> None:
    assert PoseConfig().most_people(name) == 10
    assert PoseConfig(max_people=3).most_people(name) == 3


def test_precomputed_without_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pose\.poses must be a file or folder"):
        make_backend("precomputed", PoseConfig())


def test_a_path_without_the_precomputed_back_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pose\.poses must not be given for pose_backend med"):
        make_backend("mediapipe", PoseConfig(poses=tmp_path))


@pytest.mark.slow
def test_importing_the_back_ends_imports_neither_mediapipe_nor_tensorflow() -> None:
    code = (
        "import sys, pose.backends; "
        "sys.exit(' '.join({'mediapipe', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
