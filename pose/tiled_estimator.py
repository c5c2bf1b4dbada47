"""Estimate a clip with a detector that finds few people at a time, and follow who was found."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pose.estimator import (
    FramePoses,
    TrackedPoses,
    empty_frame_poses,
    merge_frame_poses,
    stack_frames,
)
from pose.oks import suppress_duplicates
from pose.tiling import (
    DetectPeople,
    Square,
    detect_in_square,
    detect_in_squares,
    square_around,
    tile_squares,
    whole_frame,
)
from pose.track import Tracker, TrackerConfig, match_people
from schemas.checks import check_array
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence


@dataclass(frozen=True, kw_only=True, slots=True)
class TilingConfig:
    """Where and how often people are searched for."""

    detect_every: int = 8
    """Search everywhere in every n-th frame; follow the people found in the frames between."""
    tiles_across: tuple[int, ...] = (1, 2)
    """Tile sizes: how often a tile fits into the shorter side of the frame. Empty: no tiles."""
    tile_overlap: float = 0.34
    """Least part of a tile's side that neighbours share."""
    crop_scales: tuple[float, ...] = (3.0,)
    """Squares in which a person is followed, one after the other until it is found: their side
    over the longer side of its box."""
    follow_missed_frames: int = 3
    """A person not found for more frames than this is left to the next search."""
    duplicate_oks: float = 0.5
    """Two poses of a frame at least this similar (OKS) are one person."""
    min_person_score: float = 0.6
    """Drop people below this score."""
    max_people: int = 10
    """Keep at most this many people per frame, the best ones."""
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    """Who is who from frame to frame."""

    def __post_init__(self) -> None:
        for name in ("detect_every", "max_people"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.follow_missed_frames < 0:
            raise ConfigError(f"follow_missed_frames must be >= 0, got {self.follow_missed_frames}")
        if any(count < 1 for count in self.tiles_across):
            raise ConfigError(f"tiles_across must be >= 1 each, got {self.tiles_across}")
        if not 0 <= self.tile_overlap < 1:
            raise ConfigError(f"tile_overlap must be 0 to under 1, got {self.tile_overlap}")
        if not self.crop_scales or min(self.crop_scales) < 1:
            raise ConfigError(f"crop_scales must be >= 1 each, got {self.crop_scales}")
        if not 0 < self.duplicate_oks <= 1:
            raise ConfigError(
                f"duplicate_oks must be over 0 and at most 1, got {self.duplicate_oks}"
            )
        if not 0 <= self.min_person_score <= 1:
            raise ConfigError(f"min_person_score must be 0 to 1, got {self.min_person_score}")


class TiledPoseEstimator:
    """A `ClipPoseEstimator` on top of a function that finds people in a square image.

    A frame with the source index of its predecessor repeats its poses and takes no time.

    Args:
        detect: Finds people in a square image; must not remember anything between calls.
        config: Where and how often to search.
        follow: Finds a person who is known to be there; may believe more than `detect`, which
            is used where this is not given.
    """

    def __init__(
        self, detect: DetectPeople, config: TilingConfig, *, follow: DetectPeople | None = None
    ) -> None:
        self._detect = detect
        self._detect_known = follow or detect
        self._config = config
        self._tracker = Tracker(config.tracker)
        self._frames_seen = 0
        self._last_index: int | None = None
        self._last = TrackedPoses(poses=empty_frame_poses(), track_ids=np.zeros(0, np.int32))

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the poses of the next frames of the clip.

        Args:
            frames: uint8 [T, H, W, 3] RGB. Not modified.
            source_indices: int64 [T], index of each frame in the source file.

        Returns:
            T frames of poses in pixels of `frames`.

        Raises:
            ValueError: If the arrays have another dtype or shape than stated.
        """
        check_array("frames", frames, dtype=np.uint8, axes="T H W C", C=3)
        check_array("source_indices", source_indices, dtype=np.int64, axes="T", T=len(frames))
        tracked = []
        for frame, index in zip(frames, source_indices.tolist(), strict=True):
            if index != self._last_index:
                self._last = self._next_frame(frame)
                self._last_index = index
            tracked.append(self._last)
        return stack_frames(tracked)

    def _next_frame(self, frame: npt.NDArray[np.uint8]) -> TrackedPoses:
        """Search or follow in [H, W, 3]."""
        found = self._follow(frame)
        if self._frames_seen % self._config.detect_every == 0:
            height, width = frame.shape[:2]
            squares = search_squares(self._config, width=width, height=height)
            found = merge_frame_poses((found, detect_in_squares(frame, squares, self._detect)))
        self._frames_seen += 1
        people = self._best_people(found)
        return TrackedPoses(poses=people, track_ids=self._tracker.update(people))

    def _follow(self, frame: npt.NDArray[np.uint8]) -> FramePoses:
        """Look for every known person around where it is expected."""
        expected = self._tracker.expected(max_missed_frames=self._config.follow_missed_frames)
        return merge_frame_poses(
            self._follow_person(frame, expected.select([person]))
            for person in range(expected.num_people)
        )

    def _follow_person(self, frame: npt.NDArray[np.uint8], expected: FramePoses) -> FramePoses:
        """The one person near `expected` that is most like it, if any."""
        height, width = frame.shape[:2]
        for scale in self._config.crop_scales:
            square = square_around(expected.boxes[0], scale=scale)
            if square.side > max(width, height):
                square = whole_frame(width=width, height=height)
            found = detect_in_square(frame, square, self._detect_known)
            pairs = match_people(
                expected, found, min_similarity=self._config.tracker.min_similarity
            )
            if pairs:
                return found.select(list(pairs.values()))
        return empty_frame_poses()

    def _best_people(self, found: FramePoses) -> FramePoses:
        """Different people with a sufficient score, best first."""
        strong = found.select(np.flatnonzero(found.box_scores >= self._config.min_person_score))
        people = suppress_duplicates(strong, threshold=self._config.duplicate_oks)
        return people.select(list(range(min(people.num_people, self._config.max_people))))


def search_squares(config: TilingConfig, *, width: int, height: int) -> tuple[Square, ...]:
    """Return the squares to search in a frame: the whole of it first, then ever smaller tiles."""
    squares = [whole_frame(width=width, height=height)]
    for tiles_across in sorted(config.tiles_across):
        squares.extend(
            tile_squares(
                width=width,
                height=height,
                tiles_across=tiles_across,
                overlap=config.tile_overlap,
            )
        )
    return tuple(dict.fromkeys(squares))
