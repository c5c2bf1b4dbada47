import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pose.assets import MEDIAPIPE_POSE, asset_path
from pose.backends import mediapipe as mediapipe_backend
from pose.backends.mediapipe import MediaPipeBackend, MediaPipeConfig, block_tensorflow_import
from pose.estimator import PoseRequest
from pose.landmarks import poses_with_boxes
from pose.oks import oks_matrix
from schemas.errors import ConfigError, RecordError
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import SWAP_PAIRS

REQUEST = PoseRequest(
    clip_id="c",
    media_id="m",
    relative_path="v.avi",
    frame_width=64,
    frame_height=64,
    source_width=64,
    source_height=64,
)


class FakeLandmarker:
    """One person in the middle of every image, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.is_closed = False
        self._handle: object = "handle"

    def close(self) -> None:
        self.is_closed = True
        if self.error:
            raise self.error


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[FakeLandmarker]:
    """The landmarkers that the back end loads, in order; the first one is broken."""
    made: list[FakeLandmarker] = []

    def load(_path: Path, _config: MediaPipeConfig, _purpose: str) -> FakeLandmarker:
        made.append(FakeLandmarker(None if made else RuntimeError("Graph broke\nStack trace")))
        return made[-1]

    def detect(landmarker: FakeLandmarker, _frame: object) -> npt.NDArray[np.float32]:
        if landmarker.error:
            raise landmarker.error
        return np.full((1, 33, 4), 0.5, np.float32)

    monkeypatch.setattr(mediapipe_backend, "_load_landmarker", load)
    monkeypatch.setattr(mediapipe_backend, "_detect_landmarks", detect)
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.task"
    path.write_bytes(b"model")
    return path


def test_a_failure_of_mediapipe_is_a_bad_record(loaded: list[FakeLandmarker], model: Path) -> None:
    backend = MediaPipeBackend(model, MediaPipeConfig())
    with pytest.raises(
        RecordError, match=r"pose_failed: MediaPipe failed on a frame: Graph broke$"
    ):
        backend.detect(np.zeros((8, 8, 3), np.uint8))
    assert loaded[0].is_closed
    assert loaded[0]._handle is None  # or its __del__ would free it a second time


def test_the_model_is_loaded_again_after_a_failure(
    loaded: list[FakeLandmarker], model: Path
) -> None:
    backend = MediaPipeBackend(model, MediaPipeConfig())
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(RecordError, match="Graph broke"):
        backend.detect(frame)
    assert backend.detect(frame).num_people == 1
    assert len(loaded) == 2


def test_leaving_the_context_closes_every_landmarker(
    loaded: list[FakeLandmarker], model: Path
) -> None:
    loaded.append(FakeLandmarker())
    with MediaPipeBackend(model, MediaPipeConfig()) as backend:
        backend.detect(np.zeros((8, 8, 3), np.uint8))
        backend.detect_known(np.zeros((8, 8, 3), np.uint8))
    assert [landmarker.is_closed for landmarker in loaded[1:]] == [True, True]


def test_the_model_hash_is_that_of_the_file(model: Path) -> None:
    backend = MediaPipeBackend(model, MediaPipeConfig())
    assert backend.model_hash.startswith("9372c470eeadd5ec")
    assert backend.name == "mediapipe"


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be a file, got .*perfnet-prep models fetch"):
        MediaPipeBackend(tmp_path / "model.task", MediaPipeConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_detection_confidence": 0.0}, "min_detection_confidence must be over 0"),
        ({"min_follow_confidence": 2.0}, "min_follow_confidence must be over 0 .* got 2.0"),
        ({"min_presence_confidence": -1.0}, "min_presence_confidence must be over 0"),
        ({"max_people_per_tile": 0}, "max_people_per_tile must be >= 1, got 0"),
        ({"max_people_per_crop": 0}, "max_people_per_crop must be >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MediaPipeConfig(**changes)


def test_blocking_tensorflow_makes_its_import_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {name: module for name, module in sys.modules.items() if name != "tensorflow"}
    monkeypatch.setattr(mediapipe_backend, "sys", SimpleNamespace(modules=modules))
    block_tensorflow_import()
    assert modules["tensorflow"] is None


def test_tensorflow_that_is_imported_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"tensorflow": "imported"}
    monkeypatch.setattr(mediapipe_backend, "sys", SimpleNamespace(modules=modules))
    block_tensorflow_import()
    assert modules == {"tensorflow": "imported"}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[MediaPipeBackend]:
    path = asset_path(MEDIAPIPE_POSE)
    if not path.is_file():
        pytest.skip(f"no model at {path}; run `perfnet-prep models fetch`")
    if "tensorflow" not in sys.modules:  # quick import, undone for the tests that need it
        monkeypatch.setitem(sys.modules, "tensorflow", None)
    with MediaPipeBackend(path, MediaPipeConfig()) as made:
        yield made


def estimate(backend: MediaPipeBackend, frames: npt.NDArray[np.uint8]) -> PoseSequence:
    return backend.start_clip(REQUEST).estimate(frames, np.arange(len(frames)))


@pytest.mark.slow
def test_a_black_frame_holds_nobody(backend: MediaPipeBackend) -> None:
    assert estimate(backend, np.zeros((2, 64, 96, 3), np.uint8)).num_people.tolist() == [0, 0]


@pytest.mark.slow
def test_the_real_graph_works_again_after_a_failure(backend: MediaPipeBackend) -> None:
    with pytest.raises(RecordError, match="MediaPipe failed on a frame"):
        backend.detect(np.zeros((0, 0, 3), np.uint8))
    assert backend.detect(np.zeros((64, 64, 3), np.uint8)).num_people == 0


@pytest.mark.slow
def test_a_file_that_is_no_model_is_refused(backend: MediaPipeBackend, model: Path) -> None:
    assert backend.name == "mediapipe"  # mediapipe can be imported
    with pytest.raises(ConfigError, match="must be a MediaPipe pose landmarker bundle, got"):
        MediaPipeBackend(model, MediaPipeConfig()).detect(np.zeros((64, 64, 3), np.uint8))


def coco_image(corpus: Path, image_id: int) -> tuple[npt.NDArray[np.uint8], Any]:
    folder = corpus / "pose" / "coco_minicoco"
    truth = json.loads((folder / "annotations/person_keypoints_train2017.json").read_text())
    path = folder / "images/train2017" / f"{image_id:012d}.jpg"
    frame = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    people = [a for a in truth["annotations"] if a["image_id"] == image_id and a["num_keypoints"]]
    points = np.array([a["keypoints"] for a in people], np.float32).reshape(-1, 17, 3)
    height, width = frame.shape[:2]
    seen = (points[..., 2] > 0).astype(np.float32)
    return frame.astype(np.uint8), poses_with_boxes(
        points[..., :2], seen, width=width, height=height
    )


@pytest.mark.slow
@pytest.mark.corpus
def test_left_and_right_agree_with_coco(backend: MediaPipeBackend, corpus: Path) -> None:
    frame, truth = coco_image(corpus, 78381)
    sequence = estimate(backend, frame[None])
    found = poses_with_boxes(sequence.keypoints[0], sequence.scores[0], width=500, height=339)
    swap = np.arange(17)
    for left, right in SWAP_PAIRS:
        swap[left], swap[right] = right, left
    mirrored = poses_with_boxes(
        sequence.keypoints[0][:, swap], sequence.scores[0][:, swap], width=500, height=339
    )
    assert oks_matrix(found, truth).max() > 0.6
    assert oks_matrix(found, truth).max() > oks_matrix(mirrored, truth).max()


@pytest.mark.slow
@pytest.mark.corpus
def test_the_same_frames_give_the_same_floats(backend: MediaPipeBackend, corpus: Path) -> None:
    frame, _truth = coco_image(corpus, 78381)
    frames = np.stack([frame, np.roll(frame, 3, axis=1), np.roll(frame, 6, axis=1)])
    first, second = estimate(backend, frames), estimate(backend, frames)
    assert first.num_people.min() >= 1
    for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
