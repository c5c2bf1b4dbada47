import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pose.backends.precomputed import PrecomputedBackend, PrecomputedConfig, clip_names
from pose.estimator import PoseRequest
from schemas.errors import ConfigError, RecordError
from schemas.pose_sequence import PoseSequence, join_pose_sequences


def request(**changes: Any) -> PoseRequest:
    values: dict[str, Any] = {
        "clip_id": "clip",
        "media_id": "media",
        "relative_path": "Punch/video.avi",
        "frame_width": 50,
        "frame_height": 40,
        "source_width": 100,
        "source_height": 80,
    }
    return PoseRequest(**(values | changes))


def annotation(num_people: int = 2, num_frames: int = 4, **changes: Any) -> dict[str, Any]:
    points = np.random.default_rng(3).integers(5, 75, (num_people, num_frames, 17, 2))
    scores = np.full((num_people, num_frames, 17), 0.5)
    scores[1:] = 0.75
    values = {
        "frame_dir": "video",
        "total_frames": num_frames,
        "img_shape": (80, 100),
        "keypoint": points.astype(np.float16),
        "keypoint_score": scores.astype(np.float16),
    }
    return values | changes


def backend(path: Path, document: Any, **config: Any) -> PrecomputedBackend:
    if path.suffix == ".json":
        path.write_text(json.dumps(document))
    else:
        path.write_bytes(pickle.dumps(document))
    return PrecomputedBackend(path, PrecomputedConfig(**config))


def estimate(source: PrecomputedBackend, *indices: int, **changes: Any) -> PoseSequence:
    frames = np.zeros((len(indices), 40, 50, 3), np.uint8)
    return source.start_clip(request(**changes)).estimate(frames, np.array(indices, np.int64))


def frame_points(document: dict[str, Any], person: int, frame: int) -> npt.NDArray[np.float32]:
    points: npt.NDArray[np.float32] = document["keypoint"][person, frame].astype(np.float32)
    return points


@pytest.mark.parametrize("form", ["single", "list", "split"])
def test_every_form_of_pickle_is_read(form: str, tmp_path: Path) -> None:
    one = annotation()
    document = {"single": one, "list": [one], "split": {"split": {}, "annotations": [one]}}[form]
    sequence = estimate(backend(tmp_path / "poses.pkl", document), 1)
    expected = (frame_points(one, 1, 1) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(sequence.keypoints[0, 0], expected, atol=1e-5)


def test_the_place_of_a_person_in_a_pickle_is_its_track_id(tmp_path: Path) -> None:
    sequence = estimate(backend(tmp_path / "poses.pkl", annotation()), 0, 3)
    assert sequence.track_ids.tolist() == [[1, 0], [1, 0]]  # best first


def test_padding_people_are_left_out(tmp_path: Path) -> None:
    one = annotation()
    one["keypoint"][1, 2:] = 0
    one["keypoint_score"][1, 2:] = 0
    sequence = estimate(backend(tmp_path / "poses.pkl", one), 1, 2)
    assert sequence.num_people.tolist() == [2, 1]


def test_a_frame_after_the_last_gets_the_last_poses(tmp_path: Path) -> None:
    source = backend(tmp_path / "poses.pkl", annotation())
    late, last = estimate(source, 9), estimate(source, 3)
    np.testing.assert_array_equal(late.keypoints, last.keypoints)


def test_poses_follow_the_source_index_not_the_place_in_the_clip(tmp_path: Path) -> None:
    source = backend(tmp_path / "poses.pkl", annotation())
    np.testing.assert_array_equal(
        estimate(source, 2, 2, 0).keypoints[2], estimate(source, 0).keypoints[0]
    )


def test_without_scores_points_at_zero_are_missing(tmp_path: Path) -> None:
    one = annotation(1)
    del one["keypoint_score"]
    one["keypoint"][0, 0, 3] = 0
    scores = estimate(backend(tmp_path / "poses.pkl", one), 0).scores[0, 0]
    assert scores.tolist() == [1.0] * 3 + [0.0] + [1.0] * 13


def test_a_compressed_pickle_counts_frames_from_one_and_fills_skipped_ones(tmp_path: Path) -> None:
    points = np.full((3, 17, 3), 0.5, np.float32)
    points[..., :2] = np.array([10, 30, 50], np.float32)[:, None, None]
    points[..., :2] += np.arange(34, dtype=np.float32).reshape(17, 2) / 10
    one = annotation(keypoint=points, frame_inds=np.array([1, 3, 5], np.int16), total_frames=6)
    del one["keypoint_score"]
    sequence = estimate(backend(tmp_path / "poses.pkl", one), *range(6))
    firsts = (sequence.keypoints[:, 0, 0, 0] * 2 + 0.5).tolist()
    assert firsts == pytest.approx([10, 10, 30, 30, 50, 50], abs=0.1)


def test_keypoints_outside_of_the_frame_score_zero(tmp_path: Path) -> None:
    one = annotation(1)
    one["keypoint"][0, 0, 2] = (400, 10)
    sequence = estimate(backend(tmp_path / "poses.pkl", one), 0)
    assert sequence.scores[0, 0, 2] == 0
    assert sequence.boxes.max() <= 49.5


def test_weak_and_surplus_people_are_dropped(tmp_path: Path) -> None:
    strict = backend(tmp_path / "a.pkl", annotation(), min_person_score=0.6)
    assert estimate(strict, 0).track_ids.tolist() == [[1]]
    few = backend(tmp_path / "b.pkl", annotation(), max_people=1)
    assert estimate(few, 0).track_ids.tolist() == [[1]]


@pytest.mark.parametrize("name", ["clip", "media", "Punch/video", "video"])
def test_a_clip_is_found_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    source = backend(tmp_path / "poses.pkl", annotation(frame_dir=name))
    assert estimate(source, 0).num_people.tolist() == [2]
    assert name in clip_names(request())


def test_a_clip_without_poses_is_a_bad_record(tmp_path: Path) -> None:
    source = backend(tmp_path / "poses.pkl", annotation(frame_dir="other"))
    with pytest.raises(RecordError, match="no poses for any of clip, media, Punch/video, video"):
        source.start_clip(request())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoint": np.zeros((1, 4, 25, 3), np.float16)}, r"keypoints must be \[..., 17, 2\]"),
        ({"keypoint": np.zeros((4, 17, 2)), "keypoint_score": None}, r"must be \[M, T, 17, 2\]"),
        ({"frame_inds": np.arange(1, 4)}, r"keypoint must be \[3, 17, 3\] beside frame_inds"),
        ({"source_indices": np.arange(3)}, r"source_indices must be 4 growing .* got \[3\]"),
        ({"source_indices": np.array([0, 2, 1, 3])}, "source_indices must be 4 growing frame"),
        ({"source_indices": np.array([-1, 0, 1, 2])}, "source_indices must be 4 growing frame"),
    ],
)
def test_a_malformed_annotation_is_a_bad_record(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = backend(tmp_path / "poses.pkl", annotation(**changes))
    with pytest.raises(RecordError, match=message):
        source.start_clip(request())


def test_an_index_without_keypoints_is_a_bad_record(tmp_path: Path) -> None:
    one = annotation()
    del one["keypoint"]
    with pytest.raises(RecordError, match="must have the key 'keypoint'"):
        backend(tmp_path / "poses.pkl", one).start_clip(request())


def coco(frame: Any, x: float, score: float = 0.9) -> dict[str, Any]:
    offsets = np.random.default_rng(2).random((17, 2)) * 20
    points = np.column_stack([offsets + x, np.full(17, 0.8)])
    return {"image_id": frame, "category_id": 1, "keypoints": points.ravel().tolist(),
            "score": score}  # fmt: skip


def test_a_coco_results_list_is_read_and_tracked(tmp_path: Path) -> None:
    results = [coco(0, 10), coco(0, 50, 0.5), coco(1, 12), coco("2.jpg", 14), coco(2, 52, 0.95)]
    sequence = estimate(backend(tmp_path / "video.json", results), 0, 1, 2, 3)
    assert sequence.num_people.tolist() == [2, 1, 2, 0]
    assert sequence.track_ids.tolist() == [[0, 1], [0, -1], [1, 0], [-1, -1]]
    points = np.array(coco(0, 10)["keypoints"]).reshape(17, 3)[:, :2]
    np.testing.assert_allclose(sequence.keypoints[0, 0], (points + 0.5) / 2 - 0.5, rtol=1e-5)


def test_an_mmpose_video_document_counts_frames_from_one(tmp_path: Path) -> None:
    entry = coco(0, 10)
    points = np.array(entry["keypoints"]).reshape(17, 3)
    instance = {
        "keypoints": points[:, :2].tolist(),
        "keypoint_scores": points[:, 2].tolist(),
        "bbox": [[8, 9, 40, 41]],
        "bbox_score": 0.6,
    }
    info = [{"frame_id": 1, "instances": []}, {"frame_id": 2, "instances": [instance]}]
    document = {"meta_info": {}, "instance_info": info}
    sequence = estimate(backend(tmp_path / "video.json", document), 0, 1, 2)
    assert sequence.num_people.tolist() == [0, 1, 1]
    np.testing.assert_allclose(sequence.boxes[1, 0], [3.75, 4.25, 19.75, 20.25])
    assert sequence.box_scores[1, 0] == pytest.approx(0.6)
    instance["bbox_score"] = 0  # that is found all the same, and not filled in
    assert not estimate(backend(tmp_path / "video.json", document), 1).is_filled.any()


def test_windows_of_a_json_clip_equal_one_window(tmp_path: Path) -> None:
    source = backend(tmp_path / "video.json", [coco(t, 10 + 3 * t) for t in range(8)])
    clip, frames = source.start_clip(request()), np.zeros((8, 40, 50, 3), np.uint8)
    parts = [
        clip.estimate(frames[:3], np.arange(3)),
        clip.estimate(frames[3:], np.arange(3, 8)),
    ]
    whole = source.start_clip(request()).estimate(frames, np.arange(8))
    np.testing.assert_array_equal(join_pose_sequences(parts).track_ids, whole.track_ids)
    np.testing.assert_array_equal(join_pose_sequences(parts).keypoints, whole.keypoints)


def test_a_folder_holds_one_json_per_video(tmp_path: Path) -> None:
    (tmp_path / "media.json").write_text(json.dumps([coco(0, 10)]))
    (tmp_path / "other.json").write_text("[]")
    source = PrecomputedBackend(tmp_path, PrecomputedConfig())
    assert estimate(source, 0).num_people.tolist() == [1]
    assert len(source.model_hash) == 64


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("text", "must be a COCO results list or have `instance_info`"),
        ([{"image_id": 0}], "must have the key 'keypoints'"),
        ([coco("a.jpg", 1)], "image_id must be the number of a frame, got 'a.jpg'"),
        ([{"image_id": 0, "keypoints": [1, 2, 3]}], r"keypoints must be"),
        ({"instance_info": [{"frame_id": 0, "instances": []}]}, "must not be negative, got -1"),
    ],
)
def test_malformed_json_is_a_bad_record(document: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=message):
        backend(tmp_path / "video.json", document).start_clip(request())


def test_json_that_is_cut_off_is_a_bad_record(tmp_path: Path) -> None:
    (tmp_path / "video.json").write_text('[{"image_id": 0')
    source = PrecomputedBackend(tmp_path / "video.json", PrecomputedConfig())
    with pytest.raises(RecordError, match="are malformed"):
        source.start_clip(request())


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with pytest.raises(ConfigError, match=r"got (posix|nt)\.mkdir; the file is refused"):
        backend(tmp_path / "poses.pkl", [annotation(label=Malicious(trap))])
    assert not trap.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_of_arrays_is_read(protocol: int, tmp_path: Path) -> None:
    one = annotation(label=np.int64(3))
    (tmp_path / "poses.pkl").write_bytes(pickle.dumps(one, protocol=protocol))
    source = PrecomputedBackend(tmp_path / "poses.pkl", PrecomputedConfig())
    assert estimate(source, 0).num_people.tolist() == [2]


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_pickles_of_numpy_1_and_2_are_read(module: bytes, tmp_path: Path) -> None:
    data = pickle.dumps(annotation(), protocol=2)
    for name in (b"numpy._core", b"numpy.core"):
        data = data.replace(b"c" + name + b".multiarray\n", b"c" + module + b".multiarray\n")
    (tmp_path / "poses.pkl").write_bytes(data)
    source = PrecomputedBackend(tmp_path / "poses.pkl", PrecomputedConfig())
    assert estimate(source, 0).num_people.tolist() == [2]


@pytest.mark.parametrize(
    "array", [np.array([{}], object), np.array([("a", 1)], [("f", object), ("g", int)])]
)
def test_arrays_of_python_objects_hold_nothing_that_runs(
    array: npt.NDArray[Any], tmp_path: Path
) -> None:
    source = backend(tmp_path / "poses.pkl", annotation(extra=array))
    assert estimate(source, 0).num_people.tolist() == [2]


def test_a_damaged_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poses.pkl").write_bytes(pickle.dumps(annotation())[:-40])
    with pytest.raises(ConfigError, match="must be a pickle of arrays"):
        PrecomputedBackend(tmp_path / "poses.pkl", PrecomputedConfig())


@pytest.mark.parametrize("document", [3, [{"keypoint": 1}], {"annotations": "x"}])
def test_a_pickle_without_annotations_is_refused(document: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must hold `annotations` that are dicts"):
        backend(tmp_path / "poses.pkl", document)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pose file must exist, got .*nothing\.pkl"):
        PrecomputedBackend(tmp_path / "nothing.pkl", PrecomputedConfig())


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poses.txt").write_text("")
    with pytest.raises(ConfigError, match=r"must be \.pkl, \.pickle or \.json, got .*poses\.txt"):
        PrecomputedBackend(tmp_path / "poses.txt", PrecomputedConfig())


def test_a_folder_without_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold \.json files, got none"):
        PrecomputedBackend(tmp_path, PrecomputedConfig())


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_person_score must be 0 to 1, got 2"):
        PrecomputedConfig(min_person_score=2)
    with pytest.raises(ConfigError, match="max_people must be >= 1, got 0"):
        PrecomputedConfig(max_people=0)


def test_frames_of_another_dtype_are_refused(tmp_path: Path) -> None:
    clip = backend(tmp_path / "poses.pkl", annotation()).start_clip(request())
    with pytest.raises(ValueError, match=r"source_indices must be int64 \[T\] with T=1"):
        clip.estimate(np.zeros((1, 4, 4, 3), np.uint8), np.zeros(1, np.int32))  # type: ignore[arg-type]


@pytest.mark.corpus
def test_a_pyskl_pickle_of_ucf101_is_read(corpus: Path) -> None:
    path = corpus / "pose" / "skeleton_pkl" / "v_ApplyEyeMakeup_g01_c01.pkl"
    source = PrecomputedBackend(path, PrecomputedConfig())
    clip = source.start_clip(
        request(
            relative_path="ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
            frame_width=340,
            frame_height=256,
        )
    )
    sequence = clip.estimate(np.zeros((163, 2, 2, 3), np.uint8), np.arange(163))
    assert sequence.track_ids.max() == 1
    raw = pickle.loads(path.read_bytes())  # noqa: S301 - a file of the corpus
    best = int(sequence.track_ids[0, 0])
    np.testing.assert_allclose(
        sequence.keypoints[0, 0], raw["keypoint"][best, 0].astype(np.float32), atol=1e-3
    )


@pytest.mark.corpus
def test_the_kinetics_index_of_mmaction2_is_loaded_without_running_code(corpus: Path) -> None:
    path = corpus / "pose" / "skeleton_pkl" / "mmaction2_sample.pkl"
    source = PrecomputedBackend(path, PrecomputedConfig())
    with pytest.raises(RecordError, match="must have the key 'keypoint'"):
        source.start_clip(request(media_id="jf7RDuUTrsQ"))
