"""Estimate a clip with a detector that finds few people at a time, and follow who was found.

The whole frame and tiles of it are searched where the picture has changed enough or somebody was
lost. In the frames between, the detector looks into the squares in which it saw the people last:
whether it sees a person depends much on the square, and hardly changes from frame to frame.
"""

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
from pose.oks import distinct_people
from pose.search_clock import SearchClock
from pose.tiling import (
    DetectPeople,
    Square,
    detect_in_square,
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

    detect_every: int = 12
    """Search everywhere at least in every n-th frame, in others where the picture changes; follow
    the people found in the frames between."""
    detect_after_change: float = 60.0
    """Search again when the changes from frame to frame add up to so many grey levels."""
    passes_per_frame: float = 3.0
    """Search sooner where so many squares per frame, on average, are enough for it: the fewer
    people are followed, the more often."""
    tiles_across: tuple[int, ...] = (1, 2)
    """Tile sizes: how often a tile fits into the shorter side of the frame. Empty: no tiles."""
    tile_overlap: float = 0.34
    """Least part of a tile's side that neighbours share."""
    crop_scales: tuple[float, ...] = (3.0,)
    """Squares in which a person is looked for who is not found in the square of the frame before,
    one after the other until it is found: their side over the longer side of its box."""
    follow_missed_frames: int = 8
    """Somebody lost is looked for in so many more frames, where the square was in which it was
    seen last; then it is left to the next search."""
    duplicate_oks: float = 0.5
    """Two poses of a frame at least this similar (OKS) are one person."""
    min_person_score: float = 0.6
    """Least score of a new person."""
    keep_person_score: float = 0.5
    """Least score of a person who is followed, if lower than `min_person_score`, so that people do
    not come and go with every tremble of their score."""
    max_people: int = 10
    """Keep at most this many people per frame, the best ones."""
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    """Who is who from frame to frame."""

    def __post_init__(self) -> None:
        least = {
            "detect_every": 1,
            "passes_per_frame": 0,
            "follow_missed_frames": 0,
            "max_people": 1,
        }
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ConfigError(f"{name} must be >= {limit}, got {getattr(self, name)}")
        if not self.detect_after_change > 0:
            raise ConfigError(f"detect_after_change must be > 0, got {self.detect_after_change}")
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
        for name in ("min_person_score", "keep_person_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """A person, and the square in which the detector saw it."""

    square: Square
    pose: FramePoses
    """One person."""


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
        self._keep_score = min(config.keep_person_score, config.min_person_score)
        self._tracker = Tracker(config.tracker)
        self._clock = SearchClock(
            most_frames=config.detect_every, change_levels=config.detect_after_change
        )
        self._spare_passes = 0.0
        self._squares: dict[int, Square] = {}  # by id, in which people were seen last
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
        config = self._config
        height, width = frame.shape[:2]
        tiles = search_squares(config, width=width, height=height)
        self._spare_passes = max(self._spare_passes, -len(tiles)) + config.passes_per_frame
        seen = self._follow(frame)
        if self._spare_passes >= len(tiles):
            self._clock.search_within(1)
        if self._clock.is_due(frame):
            for tile in tiles:
                seen += self._look(frame, tile, self._detect, config.min_person_score)
        poses = merge_frame_poses(each.pose for each in seen)
        kept = distinct_people(poses, threshold=config.duplicate_oks)[: config.max_people]
        people = poses.select(kept)
        ids = self._tracker.update(people)
        for track, person in zip(ids.tolist(), kept, strict=True):
            self._squares[track] = seen[person].square
        return TrackedPoses(poses=people, track_ids=ids)

    def _look(
        self, frame: npt.NDArray[np.uint8], square: Square, detect: DetectPeople, min_score: float
    ) -> list[_Sighting]:
        """The people of one square who have a sufficient score."""
        self._spare_passes -= 1
        found = detect_in_square(frame, square, detect)
        strong = np.flatnonzero(found.box_scores >= min_score).tolist()
        return [_Sighting(square, found.select([person])) for person in strong]

    def _follow(self, frame: npt.NDArray[np.uint8]) -> list[_Sighting]:
        """Look for the known people where they were seen last, then around each one just lost."""
        config = self._config
        known = self._tracker.expected(max_missed_frames=config.follow_missed_frames)
        expected = merge_frame_poses(each.pose for each in known)
        self._squares = {each.track_id: self._squares[each.track_id] for each in known}
        believed = {self._squares[each.track_id] for each in known if not each.missed_frames}
        seen: list[_Sighting] = []
        pairs: dict[int, int] = {}
        for square in dict.fromkeys(self._squares.values()):
            if len(pairs) == len(known):
                break
            detect = self._detect_known if square in believed else self._detect
            seen += self._look(frame, square, detect, self._keep_score)
            people = merge_frame_poses(each.pose for each in seen)
            pairs = match_people(expected, people, min_similarity=config.tracker.min_similarity)
        return [seen[person] for person in pairs.values()] + [
            sighting
            for number, each in enumerate(known)
            if number not in pairs and not each.missed_frames
            for sighting in self._look_around(frame, each.pose)
        ]

    def _look_around(self, frame: npt.NDArray[np.uint8], expected: FramePoses) -> list[_Sighting]:
        """The one person near `expected` that is most like it, if any."""
        config = self._config
        height, width = frame.shape[:2]
        for scale in config.crop_scales:
            square = square_around(expected.boxes[0], scale=scale)
            if square.side > max(width, height):
                square = whole_frame(width=width, height=height)
            seen = self._look(frame, square, self._detect_known, self._keep_score)
            people = merge_frame_poses(each.pose for each in seen)
            pairs = match_people(expected, people, min_similarity=config.tracker.min_similarity)
            if pairs:
                return [seen[pairs[0]]]
        return []


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
