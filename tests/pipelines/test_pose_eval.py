"""`perfnet-prep pose-eval` on images whose people are known."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipelines import pose_eval
from pipelines.cli import main
from pipelines.pose_eval import PoseEvalOptions, evaluate_backend, with_weak_people
from pose.backends import PoseConfig
from pose.estimator import PoseRequest
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

POINTS = np.stack((np.arange(17) * 5 + 20, np.arange(17) * 9 + 30), axis=-1).astype(np.float32)


class KnownBackend:
    """Finds a person whose keypoints are those of the annotation, moved to the right."""

    name = "known"
    model_hash = "f" * 64
    shift_px = 0.0
    num_people = 1

    def start_clip(self, _request: PoseRequest) -> "KnownBackend":
        return self

    def estimate(self, frames: npt.NDArray[np.uint8], _indices: Any) -> PoseSequence:
        poses = empty_pose_sequence(len(frames), self.num_people)
        poses.keypoints[:] = POINTS + np.array([self.shift_px, 0], np.float32)
        poses.scores[:] = poses.box_scores[:] = 0.9
        poses.track_ids[:] = np.arange(self.num_people)
        return poses

    def close(self) -> None:
        pass


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoseEvalOptions:
    """One image of two annotated is there, in a folder below."""
    pytest.importorskip("pycocotools")
    (tmp_path / "images" / "train").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images" / "train" / "a.png"), np.zeros((240, 240, 3), np.uint8))
    triples = np.concatenate((POINTS, np.full((17, 1), 2)), axis=1)
    people = [
        {
            "id": 1 + index,
            "image_id": index,
            "category_id": 1,
            "keypoints": triples.ravel().tolist(),
            "num_keypoints": 17,
            "bbox": [20, 30, 80, 144],
            "area": 80 * 144.0,
            "iscrowd": 0,
        }
        for index in (0, 1)
    ]
    images = [
        {"id": i, "file_name": f"{n}.png", "width": 240, "height": 240}
        for i, n in ((0, "a"), (1, "b"))
    ]
    truth = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    monkeypatch.setattr(pose_eval, "make_backend", lambda *_: KnownBackend())
    return PoseEvalOptions(
        annotations=str(tmp_path / "truth.json"), images=str(tmp_path / "images"), backend="onnx"
    )


def test_exact_poses_have_ap_one_on_the_images_that_are_there(options: PoseEvalOptions) -> None:
    scores = evaluate_backend(options)
    assert (scores.num_images, scores.people_per_image) == (1, 1.0)
    assert scores.ap == pytest.approx(1)
    assert scores.ar == pytest.approx(1)
    assert scores.images_per_cpu_second > 0


def test_poses_beside_the_people_have_ap_zero(
    options: PoseEvalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownBackend, "shift_px", 60.0)
    assert evaluate_backend(options).ap == pytest.approx(0)


def test_slightly_wrong_poses_have_ap50_one_and_ap_below(
    options: PoseEvalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownBackend, "shift_px", 8.0)
    scores = evaluate_backend(options)
    assert scores.ap50 == pytest.approx(1)
    assert 0.1 < scores.ap < 0.95


def test_nobody_found_is_ap_zero(options: PoseEvalOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownBackend, "num_people", 0)
    scores = evaluate_backend(options)
    assert (scores.ap, scores.people_per_image) == (0, 0)


def test_the_command_prints_the_figures(
    options: PoseEvalOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["pose-eval", "--annotations", options.annotations, "--images", options.images]
    assert main([*arguments, "--backend", "onnx"]) == 0
    assert (
        "known ffffffffffff: AP 1.000, AP50 1.000, AR 1.000 on 1 images" in capsys.readouterr().out
    )
    assert main([*arguments, "--backend", "onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap"] == pytest.approx(1)


def test_weak_people_count_unless_told_otherwise() -> None:
    config = with_weak_people(PoseConfig())
    assert config.mediapipe.tiling.min_person_score == 0
    assert config.onnx.follow.min_person_score == config.onnx.follow.keep_person_score == 0
    assert config.movenet.follow.min_person_score == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": "nowhere.json"}, "annotations must be a COCO keypoint file, got nowhere"),
        ({"images": "nowhere"}, "images must be an existing folder, got nowhere"),
        ({"backend": "precomputed"}, "backend must estimate poses, got precomputed"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: PoseEvalOptions, changes: dict[str, str], message: str
) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match=message):
        evaluate_backend(replace(options, **changes))  # type: ignore[arg-type]


def test_a_folder_without_the_images_is_refused(options: PoseEvalOptions, tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="images must hold the annotated images, got none"):
        evaluate_backend(replace(options, images=str(tmp_path / "empty")))
