import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pose.backends.onnx import OnnxBackend, OnnxConfig
from pose.estimator import FramePoses, PoseRequest
from pose.oks import oks_matrix
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import SWAP_PAIRS

REQUEST = PoseRequest(
    clip_id="c",
    media_id="m",
    relative_path="v.avi",
    frame_width=416,
    frame_height=416,
    source_width=416,
    source_height=416,
)
BOX = (100, 80, 196, 208)  # 96 x 128


@pytest.fixture
def tiny(save_constant: Any, save_dot_finder: Any) -> OnnxConfig:
    """A detector that sees one person in BOX, and a pose model that sees red dots."""
    box = np.array([[[*BOX, 0.9]]], np.float32)
    detector = save_constant(box, np.zeros((1, 1), np.float32), height=640, width=640)
    estimator = save_dot_finder(height=256, width=192)
    return OnnxConfig(
        detector=str(detector),
        detector_spec="detections-640",
        estimator=str(estimator),
        estimator_spec="heatmap-256x192",
    )


def frame_with_dot(x: int, y: int) -> npt.NDArray[np.uint8]:
    frame = np.zeros((640, 640, 3), np.uint8)
    cv2.circle(frame, (x, y), 3, (255, 0, 0), cv2.FILLED)
    return frame


def estimate(config: OnnxConfig, frames: npt.NDArray[np.uint8]) -> PoseSequence:
    backend = OnnxBackend(config)
    sequence = backend.start_clip(REQUEST).estimate(frames, np.arange(len(frames)))
    backend.close()
    return sequence


def test_a_dot_is_a_keypoint_at_its_place_in_the_frame(tiny: OnnxConfig) -> None:
    sequence = estimate(tiny, frame_with_dot(130, 120)[None])
    assert sequence.num_people.tolist() == [1]
    np.testing.assert_allclose(sequence.keypoints[0, 0], [[130, 120]] * 17, atol=1.5)
    assert sequence.boxes[0, 0].tolist() == list(BOX)


def test_the_hash_tells_models_and_specs_apart(tiny: OnnxConfig) -> None:
    first = OnnxBackend(tiny).model_hash
    assert OnnxBackend(tiny).model_hash == first
    other = replace(tiny, estimator_spec="simcc-256x192")
    assert OnnxBackend(other).model_hash != first


def test_one_stage_models_need_no_detector(save_constant: Any) -> None:
    boxes = np.array([[[64, 64, 320, 576, 0.9], [0, 0, 9, 9, 0.05]]], np.float32)
    points = np.zeros((1, 2, 17, 3), np.float32)
    points[0, 0] = (200, 300, 0.7)
    path = save_constant(boxes, points, height=640, width=640)
    config = OnnxConfig(estimator=str(path), estimator_spec="rtmo-640", detector="nowhere.onnx")
    sequence = estimate(config, np.zeros((2, 320, 320, 3), np.uint8))
    assert sequence.num_people.tolist() == [1, 1]
    assert sequence.track_ids.tolist() == [[0], [0]]
    assert sequence.boxes[0, 0].tolist() == [32, 32, 160, 288]
    np.testing.assert_allclose(sequence.keypoints[0, 0], [[100, 150]] * 17)
    np.testing.assert_allclose(sequence.scores[0, 0], 0.7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": "nowhere.onnx"}, "pose.onnx.estimator must be an ONNX file or one of"),
        ({"estimator_spec": None}, "pose.onnx.estimator_spec must be given for a model by file"),
        ({"detector": "nowhere.onnx"}, "pose.onnx.detector must be an ONNX file or one of"),
        ({"estimator_spec": "yolox-416"}, "estimator must be a model of poses"),
        ({"detector_spec": "heatmap-256x192"}, "detector must be a model with head yolox"),
    ],
)
def test_models_that_cannot_be_used_are_refused(
    tiny: OnnxConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        OnnxBackend(replace(tiny, **changes))


def test_a_model_of_another_input_size_is_refused(tiny: OnnxConfig) -> None:
    config = replace(tiny, estimator_spec="heatmap-128x96")
    with pytest.raises(ConfigError, match=r"must take float images of \[3, 128, 96\]"):
        estimate(config, frame_with_dot(130, 120)[None])


def test_a_file_that_is_no_model_is_refused(tiny: OnnxConfig, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    config = replace(tiny, estimator=str(tmp_path / "bad.onnx"))
    with pytest.raises(ConfigError, match="model must be an ONNX model, got"):
        estimate(config, frame_with_dot(130, 120)[None])


def test_a_provider_that_is_not_there_is_refused(tiny: OnnxConfig) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has the CUDA provider here")
    with pytest.raises(ConfigError, match="provider must be one that onnxruntime has here"):
        OnnxBackend(replace(tiny, provider="cuda"))


def test_libraries_of_cuda_are_loaded_before_the_session_that_needs_them(
    tiny: OnnxConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    calls: list[str] = []

    class Refuse:
        def __init__(self, _path: str, _options: object, *, providers: list[str]) -> None:
            calls.append(providers[0])
            raise RuntimeError("no CUDA device")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append("preload"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Refuse)
    with pytest.raises(ConfigError, match="no CUDA device"):
        estimate(replace(tiny, provider="cuda"), frame_with_dot(9, 9)[None])
    assert calls == ["preload", "CUDAExecutionProvider"]


def test_a_model_by_name_must_have_been_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="run `perfnet-prep models fetch tinypose-256x192`"):
        OnnxBackend(OnnxConfig())


def test_without_onnxruntime_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "a.onnx").write_bytes(b"")
    config = OnnxConfig(estimator=str(tmp_path / "a.onnx"), estimator_spec="rtmo-640")
    with pytest.raises(ConfigError, match=r"pip install 'perfnet-prep\[onnx\]'"):
        OnnxBackend(config)


@pytest.fixture
def images(corpus: Path) -> list[npt.NDArray[np.uint8]]:
    folder = corpus / "pose" / "coco_minicoco" / "images"
    paths = [*sorted(folder.rglob("*.jpg"))[:2], *folder.rglob("*78381.jpg")]
    return [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths]


@pytest.mark.corpus
@pytest.mark.slow
def test_real_models_give_the_same_floats_twice_whatever_came_before(
    real_models: Path, monkeypatch: pytest.MonkeyPatch, images: list[npt.NDArray[np.uint8]]
) -> None:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(real_models))
    backend = OnnxBackend(OnnxConfig())
    again = OnnxBackend(OnnxConfig())
    for image in images[1:]:
        again.start_clip(REQUEST).estimate(image[None], np.zeros(1, np.int64))
    first = backend.start_clip(REQUEST).estimate(images[0][None], np.zeros(1, np.int64))
    second = again.start_clip(REQUEST).estimate(images[0][None], np.zeros(1, np.int64))
    np.testing.assert_array_equal(first.keypoints, second.keypoints)
    np.testing.assert_array_equal(first.scores, second.scores)


@pytest.mark.corpus
@pytest.mark.slow
def test_people_in_a_mirrored_image_are_mirrored(
    real_models: Path, monkeypatch: pytest.MonkeyPatch, images: list[npt.NDArray[np.uint8]]
) -> None:
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(real_models))
    backend = OnnxBackend(OnnxConfig())
    image = images[-1]
    swap = np.arange(17)
    for left, right in SWAP_PAIRS:
        swap[[left, right]] = right, left
    both = []
    for frame in (image, np.ascontiguousarray(image[:, ::-1])):
        found = backend.start_clip(REQUEST).estimate(frame[None], np.zeros(1, np.int64))
        best = np.flatnonzero(found.box_scores[0] > 0.5)
        scores = found.scores[0, best] * (found.scores[0, best] >= 0.3)
        arrays = {"boxes": found.boxes[0, best], "box_scores": found.box_scores[0, best]}
        both.append(FramePoses(keypoints=found.keypoints[0, best], scores=scores, **arrays))
    here, there = both
    edge = image.shape[1] - 1
    points = there.keypoints[:, swap] * np.array([-1, 1], np.float32) + np.array(
        [edge, 0], np.float32
    )
    back = FramePoses(
        keypoints=points,
        scores=there.scores[:, swap],
        boxes=there.boxes,
        box_scores=there.box_scores,
    )
    assert here.num_people >= 1
    assert (oks_matrix(here, back).max(axis=1) > 0.8).all()
