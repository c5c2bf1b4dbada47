"""Find what makes a data set measure something else than it should: copies and leaks.

All of it is read from the ledgers. Only clips that are in a shard count.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipelines.finished_output import FinishedOutput
from schemas.ledger import LedgerRow

Kind = Literal["same_video", "shared_youtube_id", "shared_file", "shared_group"]


class Advice(NamedTuple):
    """What a kind of finding means to a user."""

    title: str
    why: str
    what_to_do: str


_LEAK = (
    "Clips of one recording look alike: a model that remembers the scene is rewarded, and the "
    "accuracy measured on the other split is too high."
)

ADVICE: dict[Kind, Advice] = {
    "same_video": Advice(
        "the same video under several ids",
        "The clips hold the same frames: they count more than others in training, copies with "
        "different labels contradict each other, and copies in two splits make the accuracy "
        "measured too high.",
        "Keep one row of each in the annotation file.",
    ),
    "shared_youtube_id": Advice(
        "clips of one YouTube video on both sides of a split",
        _LEAK,
        "Take the video's rows out of one of the splits.",
    ),
    "shared_file": Advice(
        "clips of one video file on both sides of a split",
        _LEAK,
        "Take the file's rows out of one of the splits.",
    ),
    "shared_group": Advice(
        "clips of one UCF101 group on both sides of a split",
        "Clips of a group (the gNN of their names) show the same person in the same place. "
        + _LEAK,
        "Use the official lists, which never divide a group, or divide by group.",
    ),
}
"""What to tell about each kind, in the order of a report."""

_YOUTUBE_CLIP = re.compile(r"([A-Za-z0-9_-]{11})_\d{6}_\d{6}", re.ASCII)
_UCF101_CLIP = re.compile(r"(v_.+_g\d+)_c\d+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundClip:
    """A clip that is part of a finding."""

    folder: str
    """Its output folder."""
    split: str
    clip_id: str
    label_text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Clips that should not stand beside each other."""

    kind: Kind
    key: str
    """What they share: the hash of the video, its YouTube id, or the name of the group."""
    clips: tuple[FoundClip, ...]
    """At least two, ordered by folder and clip id."""

    @property
    def has_label_conflict(self) -> bool:
        """Whether the clips have different labels."""
        return len({clip.label_text for clip in self.clips}) > 1


def find_problems(outputs: Sequence[FinishedOutput]) -> list[Finding]:
    """Return copies within and across outputs, and leaks between outputs of different splits.

    Args:
        outputs: One for each split of a data set. Splits of different folds (train1 and test2 of
            UCF101) share clips by design and are not compared.

    Returns:
        Findings, ordered by kind (as `ADVICE`) and key.
    """
    groups: dict[tuple[Kind, tuple[Hashable, ...]], list[_Member]] = defaultdict(list)
    for output in outputs:
        for row in output.ledger:
            if row.is_in_shard:
                for kind, key in _keys(row, output):
                    groups[kind, key].append(_Member(output, row))
    findings = []
    for (kind, key), members in groups.items():
        chosen = _copies(members) if kind == "same_video" else _leaks(members)
        if chosen:
            clips = tuple(sorted(map(_found, chosen), key=lambda clip: (clip.folder, clip.clip_id)))
            findings.append(Finding(kind=kind, key=str(key[0]), clips=clips))
    order = list(ADVICE)
    return sorted(
        findings, key=lambda each: (order.index(each.kind), each.key, each.clips[0].clip_id)
    )


class _Member(NamedTuple):
    """A clip while it is compared."""

    output: FinishedOutput
    row: LedgerRow

    @property
    def split(self) -> str:
        return str(self.output.config["split"])


def _found(member: _Member) -> FoundClip:
    row = member.row
    folder, split = member.output.folder, member.split
    return FoundClip(folder=folder, split=split, clip_id=row.clip_id, label_text=row.label_text)


def _keys(row: LedgerRow, output: FinishedOutput) -> Iterator[tuple[Kind, tuple[Hashable, ...]]]:
    """What other clips must not share with this one, by kind."""
    if row.video_hash:
        yield "same_video", (row.video_hash, row.source_start_us, row.source_end_us)
    youtube = _YOUTUBE_CLIP.fullmatch(row.media_id)
    group = _UCF101_CLIP.fullmatch(row.media_id)
    if output.config["dataset"].startswith("kinetics"):
        yield "shared_youtube_id", (row.media_id,)
    elif youtube:
        yield "shared_youtube_id", (youtube[1],)
    elif group:
        yield "shared_group", (group[1].lower(),)
    elif row.video_hash:
        yield "shared_file", (row.video_hash,)


def _copies(members: list[_Member]) -> list[_Member]:
    """The clips, if they have several ids."""
    return members if len({member.row.clip_id for member in members}) > 1 else []


def _leaks(members: list[_Member]) -> list[_Member]:
    """The clips that have another one on the other side of a split."""
    splits = {member.split for member in members}
    return [
        member
        for member in members
        if any(_are_sides_of_one_division(member.split, split) for split in splits)
    ]


def _are_sides_of_one_division(one: str, other: str) -> bool:
    """Whether no video may be in both splits; not so for the folds of UCF101 and HMDB51."""
    folds = {match[0] for split in (one, other) if (match := re.search(r"\d+$", split))}
    return one != other and len(folds) <= 1
