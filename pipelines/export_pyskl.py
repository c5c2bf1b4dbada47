"""Export to a PYSKL / mmaction2 skeleton pickle."""

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.export_config import PysklOptions
from pipelines.export_folder import ClipNames, Exported, new_folder, open_outputs, read_clips
from pipelines.finished_output import FinishedOutput
from pose.annotation_pickle import AnnotationPickle
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import NUM_KEYPOINTS

PICKLE_NAME = "poses.pkl"

Float16 = npt.NDArray[np.float16]


def export_pyskl(options: PysklOptions) -> Exported:
    """Write the poses of finished outputs as PYSKL and mmaction2's `PoseDataset` read them.

    The destination gets `poses.pkl` with a split for each split of the outputs, and
    `label_map.txt`. A person is a track; the frames are those of the shards.

    Raises:
        ConfigError: If an output cannot be used or has no keypoints, a clip stands in two
            outputs with different poses, or the destination is not empty.
        ShardError: If an output is damaged.
    """
    outputs = open_outputs(options.sources)
    for output in outputs:
        _check_keypoints(output)
    done = Exported(kind="pyskl")
    names = ClipNames()
    split: dict[str, list[str]] = {output.config["split"]: [] for output in outputs}
    num_dropped = 0
    with new_folder(options.destination) as folder:
        part = folder / f"{PICKLE_NAME}.part"
        with part.open("xb") as file:
            writer = AnnotationPickle(file)
            for output, record in read_clips(outputs):
                annotation, dropped = make_annotation(record, max_people=options.max_people)
                if names.claim(record.clip_id, record, output.folder, _digest(annotation)):
                    writer.add(annotation)
                    done.num_clips += 1
                    done.num_frames += record.num_frames
                    num_dropped += dropped
                split[record.split].append(record.clip_id)
            writer.finish(split)
            done.num_bytes = file.tell()
        (folder / "label_map.txt").write_text(outputs[0].labels.to_text(), encoding="utf-8")
        part.rename(folder / PICKLE_NAME)
    if num_dropped:
        done.note = f"{num_dropped} tracks over max_people left out"
    return done


def make_annotation(
    record: ClipRecord, *, max_people: int | None = None
) -> tuple[dict[str, Any], int]:
    """Return the PYSKL annotation of a clip, and the number of tracks left out of it.

    `source_indices` is not part of PYSKL's format: it names the source frame of each frame, so
    that `pose_backend=precomputed` finds the poses of a video that is not at 25 fps.

    Args:
        record: A clip with poses.
        max_people: Most tracks to keep, the best ones; None = all.
    """
    if record.poses is None:
        raise ValueError(f"{record.clip_id} must have poses, got none")
    keypoint, score, dropped = _people(record.poses, max_people)
    size = (record.height, record.width)
    annotation = {
        "frame_dir": record.clip_id,
        "total_frames": record.num_frames,
        "img_shape": size,
        "original_shape": size,
        "label": record.label_index,
        "keypoint": keypoint,
        "keypoint_score": score,
        "source_indices": record.source_indices.astype(np.int32),
    }
    return annotation, dropped


def _people(poses: PoseSequence, max_people: int | None) -> tuple[Float16, Float16, int]:
    """Tracks as people, best first: [M, T, 17, 2] and [M, T, 17]; zeros where one is not seen."""
    t, slot = np.nonzero(poses.track_ids >= 0)
    ids, person = np.unique(poses.track_ids[t, slot], return_inverse=True)
    shape = (max(1, len(ids)), poses.num_frames, NUM_KEYPOINTS)  # readers want at least one
    keypoint = np.zeros((*shape, 2), np.float32)
    score = np.zeros(shape, np.float32)
    keypoint[person, t] = poses.keypoints[t, slot]
    score[person, t] = poses.scores[t, slot]
    best = np.argsort(-score.sum(axis=(1, 2)), kind="stable")[:max_people]
    return (
        keypoint[best].astype(np.float16),
        score[best].astype(np.float16),
        max(0, len(ids) - len(best)),
    )


def _check_keypoints(output: FinishedOutput) -> None:
    if "pose" not in output.modalities or output.pose_storage == "overlay":
        raise ConfigError(
            f"output must hold keypoints, got {output.folder} without; build it with the modality "
            "pose and --pose-storage keypoints or both"
        )


def _digest(annotation: dict[str, Any]) -> bytes:
    digest = blake2b(repr(annotation["label"]).encode("ascii"), digest_size=16)
    for name in ("keypoint", "keypoint_score"):
        digest.update(annotation[name].tobytes())
    return digest.digest()
