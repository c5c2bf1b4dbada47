"""COCO keypoint AP and AR of a pose back end, and what it costs."""

import contextlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.estimator import PoseBackend, PoseRequest
from pose.following_estimator import FollowConfig
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence

_PERSON = 1  # COCO's category
_AP, _AP50, _AR = 0, 1, 5  # places in COCOeval.stats


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseEvalOptions:
    """Measure a pose back end on images with COCO keypoint annotations."""

    annotations: str
    """COCO keypoint annotations (person_keypoints_*.json)."""
    images: str
    """Folder of the images; they may lie in folders below it."""
    backend: PoseBackendName = "mediapipe"
    """Back end to measure."""
    weak_people: bool = True
    """Count everybody who is found, as COCO does, with the score as rank. With --no-weak-people
    only those count whose score a build accepts."""
    json: bool = False
    """Print JSON instead of text."""
    pose: PoseConfig = field(default_factory=PoseConfig)
    """Poses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseScores:
    """What was measured."""

    backend: str
    """Name of the back end."""
    model_hash: str
    """SHA-256 hex digest of its models."""
    num_images: int
    """Images found and measured."""
    ap: float
    """Mean of the average precision at OKS .50 to .95."""
    ap50: float
    """Average precision at OKS .50."""
    ar: float
    """Mean of the recall at OKS .50 to .95."""
    images_per_cpu_second: float
    """Images per second of one core: CPU time of all threads."""
    people_per_image: float
    """People found in an image, mean."""

    def text(self) -> str:
        """Return the figures for a person."""
        return (
            f"{self.backend} {self.model_hash[:12]}: AP {self.ap:.3f}, AP50 {self.ap50:.3f}, "
            f"AR {self.ar:.3f} on {self.num_images} images; "
            f"{self.images_per_cpu_second:.1f} images/s/core, "
            f"{self.people_per_image:.1f} people per image"
        )

    def json(self) -> str:
        """Return the figures as JSON."""
        return json.dumps(asdict(self), indent=2)


def evaluate_backend(options: PoseEvalOptions) -> PoseScores:
    """Run a back end on every image that is there and compare with the annotations.

    Raises:
        ConfigError: If pycocotools is missing, the annotations are not COCO keypoints, no image
            is there, or the back end reads poses instead of estimating them.
    """
    if options.backend == "precomputed":
        raise ConfigError("backend must estimate poses, got precomputed")
    truth = _read_truth(Path(options.annotations))
    paths = _find_images(truth, Path(options.images))
    config = with_weak_people(options.pose) if options.weak_people else options.pose
    backend = make_backend(options.backend, config)
    try:
        _estimate_image(backend, np.zeros((64, 64, 3), np.uint8))  # loading does not count
        people, seconds = [], 0.0
        for image_id, path in paths.items():
            image = _read_image(path)
            start = time.process_time()
            poses = _estimate_image(backend, image)
            seconds += time.process_time() - start
            people.extend(_coco_results(image_id, poses))
    finally:
        backend.close()
    stats = _score(truth, people, list(paths))
    return PoseScores(
        backend=backend.name,
        model_hash=backend.model_hash,
        num_images=len(paths),
        ap=float(stats[_AP]),
        ap50=float(stats[_AP50]),
        ar=float(stats[_AR]),
        images_per_cpu_second=len(paths) / seconds,
        people_per_image=len(people) / len(paths),
    )


def with_weak_people(config: PoseConfig) -> PoseConfig:
    """Return the options with no least score of a person, whatever the back end."""

    def follow(each: FollowConfig) -> FollowConfig:
        return replace(each, min_person_score=0.0, keep_person_score=0.0)

    tiling = replace(config.mediapipe.tiling, min_person_score=0.0)
    return replace(
        config,
        mediapipe=replace(config.mediapipe, tiling=tiling),
        onnx=replace(config.onnx, follow=follow(config.onnx.follow)),
        movenet=replace(config.movenet, follow=follow(config.movenet.follow)),
    )


def _read_truth(path: Path) -> Any:
    """A pycocotools COCO object."""
    try:
        from pycocotools.coco import COCO
    except ModuleNotFoundError as error:
        raise ConfigError(
            "pose-eval needs the package pycocotools; run: pip install 'perfnet-prep[onnx]'"
        ) from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(path))
        is_fitting = all("keypoints" in each for each in truth.anns.values()) and truth.anns
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise ConfigError(
            f"annotations must be a COCO keypoint file, got {path} ({error})"
        ) from error
    if not is_fitting:
        raise ConfigError(f"annotations must have keypoints of people, got none in {path}")
    return truth


def _find_images(truth: Any, folder: Path) -> dict[int, Path]:
    """Image id -> file, for the images that are there, by ascending id."""
    if not folder.is_dir():
        raise ConfigError(f"images must be an existing folder, got {folder}")
    files = {path.name: path for path in sorted(folder.rglob("*.*"))}
    names = {image_id: Path(truth.imgs[image_id]["file_name"]).name for image_id in truth.imgs}
    found = {
        image_id: files[names[image_id]] for image_id in sorted(names) if names[image_id] in files
    }
    if not found:
        raise ConfigError(f"images must hold the annotated images, got none of them in {folder}")
    return found


def _read_image(path: Path) -> Any:
    """uint8 [H, W, 3] RGB."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f"image must be a JPEG or PNG file, got {path}")
    return np.ascontiguousarray(image[..., ::-1])


def _estimate_image(backend: PoseBackend, image: Any) -> PoseSequence:
    """Poses of a clip of one frame."""
    request = PoseRequest.for_frames("image", image[None])
    return backend.start_clip(request).estimate(image[None], np.zeros(1, np.int64))


def _coco_results(image_id: int, poses: PoseSequence) -> list[dict[str, Any]]:
    """The people of the only frame in the form of COCO's results."""
    people = np.flatnonzero(poses.track_ids[0] >= 0)
    triples = np.concatenate((poses.keypoints[0], poses.scores[0][..., None]), axis=-1)
    return [
        {
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": triples[person].ravel().tolist(),
            "score": float(poses.box_scores[0, person]),
        }
        for person in people
    ]


def _score(truth: Any, people: list[dict[str, Any]], image_ids: Sequence[int]) -> Any:
    """COCOeval's ten figures; zeros if nobody was found."""
    from pycocotools.cocoeval import COCOeval

    if not people:
        return np.zeros(10)
    with contextlib.redirect_stdout(io.StringIO()):
        scoring = COCOeval(truth, truth.loadRes(people), "keypoints")
        scoring.params.imgIds = list(image_ids)
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return scoring.stats
