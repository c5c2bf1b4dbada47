"""A clip that an earlier run stored: what of it the next run takes over as it is."""

import pickle
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pipelines.clip_facts import ClipFacts
from schemas.clip_record import ClipRecord
from schemas.ledger import STREAMS, LedgerRow
from schemas.pose_sequence import PoseSequence

IMAGE_STREAMS = frozenset(STREAMS)
"""Fields of `ClipRecord` that are tuples of JPEGs."""

_POSE_ARRAYS = ("keypoints", "scores", "boxes", "box_scores", "track_ids")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptClip:
    """What an earlier run stored of a clip."""

    record: ClipRecord
    """Holds only the streams that may be taken over."""
    row: LedgerRow
    """The clip in the ledger of that run."""

    @property
    def streams(self) -> frozenset[str]:
        """Fields of `ClipRecord` that may be taken over."""
        lengths = self.record.stream_lengths().keys()
        return frozenset(lengths) - {"source_indices", "source_timestamps_us"}

    def facts(self, modalities: Collection[str]) -> ClipFacts:
        """Return what the old ledger says about those modalities and the video."""
        row = self.row
        facts = ClipFacts(video_hash=row.video_hash)
        if "flow" in modalities:
            facts = replace(facts, flow_saturation=row.flow_saturation)
        if "pose" in modalities:
            facts = replace(
                facts,
                num_people=row.num_people,
                num_tracks=row.num_tracks,
                pose_coverage=row.pose_coverage,
                pose_score=row.pose_score,
            )
        return facts

    def has_frames(
        self, size: tuple[int, int], times: list[int], sources: list[int], source_times: list[int]
    ) -> bool:
        """Whether the clip begins with just these frames.

        Args:
            size: (width, height) in pixels.
            times: Position of each frame on the output grid, microseconds.
            sources: Index of each source frame in decoder order.
            source_times: Presentation time of each source frame, microseconds.
        """
        record, first = self.record, slice(0, len(times))
        return (
            size == (record.width, record.height)
            and times == record.timestamps_us[first].tolist()
            and sources == record.source_indices[first].tolist()
            and source_times == record.source_timestamps_us[first].tolist()
        )

    def poses_of(self, start: int, num_frames: int) -> PoseSequence:
        """Return the poses of `num_frames` frames from frame `start` on.

        Raises:
            ValueError: If the poses may not be taken over.
        """
        if self.record.poses is None:
            raise ValueError("record must hold poses, got none")
        rows = slice(start, start + num_frames)
        arrays = {name: getattr(self.record.poses, name)[rows] for name in _POSE_ARRAYS}
        return PoseSequence(**arrays)


@contextmanager
def kept_clip_file(kept: KeptClip, *, folder: Path | None) -> Iterator[Path]:
    """Give a file from which a child process reads the clip; it is removed after.

    A file, as a pipe would be left half read by a child that dies meanwhile.

    Args:
        kept: The clip.
        folder: An existing folder for the file; None = the system's for temporary files.
    """
    with NamedTemporaryFile(prefix="perfnet-prep-", dir=folder) as file:
        pickle.dump(kept, file, pickle.HIGHEST_PROTOCOL)
        file.flush()
        yield Path(file.name)


def read_kept_clip(path: Path) -> KeptClip:
    """Return the clip of a `kept_clip_file`.

    Raises:
        TypeError: If the file holds something else.
    """
    kept: Any = pickle.loads(path.read_bytes())  # noqa: S301, written by our parent process
    if not isinstance(kept, KeptClip):
        raise TypeError(f"file must hold a KeptClip, got {type(kept).__name__}")
    return kept
