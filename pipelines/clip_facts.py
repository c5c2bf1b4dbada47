"""What the ledger says about the streams of a clip, measured while they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.pose_sequence import PoseSequence


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """Fields of `LedgerRow`; known even where the stream they tell of is not stored."""

    video_hash: str = ""
    """`hash_video` of the file."""
    flow_saturation: float | None = None
    """Share of the flow vectors that reach the bound; None without flow."""
    num_people: float = 0.0
    """People per frame, mean."""
    num_tracks: int = 0
    """Different people that were followed through the clip."""
    pose_coverage: float | None = None
    """Share of the frames with a person in it; None without poses."""
    pose_score: float | None = None
    """Mean score of the detected keypoints; None if there is none."""


def measure_clip(
    *, video_hash: str, flow_saturation: float | None, windows: Sequence[PoseSequence]
) -> ClipFacts:
    """Return the facts of a clip.

    Args:
        video_hash: `hash_video` of the file.
        flow_saturation: Share of the flow vectors that reach the bound; None without flow.
        windows: Poses of its consecutive frames; none if poses were not estimated.
    """
    if not windows:
        return ClipFacts(video_hash=video_hash, flow_saturation=flow_saturation)
    people = np.concatenate([poses.num_people for poses in windows])
    tracks = np.concatenate([poses.track_ids.ravel() for poses in windows])
    scores = np.concatenate([poses.scores[~poses.is_filled].ravel() for poses in windows])
    detected = scores[scores > 0]
    return ClipFacts(
        video_hash=video_hash,
        flow_saturation=flow_saturation,
        num_people=float(people.mean()),
        num_tracks=len(np.unique(tracks[tracks >= 0])),
        pose_coverage=float((people > 0).mean()),
        pose_score=float(detected.mean()) if detected.size else None,
    )
