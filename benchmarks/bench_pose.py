"""Measure every pose back end: COCO AP and AR, speed, people, jitter, ids; print the tables.

Run from the root of the repository:

```
python -m benchmarks.bench_pose --annotations COCO_JSON --images DIR --clips DIR [DIR ...]
```

AP and AR count everybody who is found (`perfnet-prep pose-eval`). The rest is measured on the
first frames of every video below the folders of the clips, each decoded as `build` does. Speed is
frames per second of CPU time of all threads. Back ends whose models are not in the cache are left
out. Each back end is compared with a slow way, which scores people alike:

- MediaPipe with brute force: the whole of every frame and 21 tiles of it (3 x 3 and 3 x 4);
- two-stage back ends with `naive`: detector and pose model on every frame, each on its own.

Who is *there* is what `onnx` finds with a search in every frame (boxes with an IoU of .3 are the
same person): *found* is the share of those, *right* the share of the people found who are there.

People differ who have OKS under .95 on the keypoints that are drawn (score .3) or are missing. The
noise of `naive` itself is what differs when the sides of every box are moved at random by some
per mille of its size; *tremble* is how much the boxes of its detector do so from frame to frame.

With --output, the figures are kept in a file; a back end that is in it is not measured again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.pose_figures import (
    box_tremble,
    differing_people,
    id_changes,
    jitter,
    people_there,
)
from benchmarks.pose_ways import (
    Clip,
    Way,
    as_it_is,
    naive,
    run_in_turn,
    search_always,
    slow_way,
    smoothed,
)
from pipelines.pose_eval import PoseEvalOptions, evaluate_backend
from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.backends.mediapipe import block_tensorflow_import
from pose.backends.movenet import MoveNetBackend
from pose.backends.onnx import OnnxBackend, OnnxConfig
from pose.gap_filling import GapFiller
from schemas.errors import ConfigError, RecordError
from schemas.pose_sequence import PoseSequence, join_pose_sequences
from video.decode import DecodeConfig, open_clip

_MOVED_BOXES = (0.0025, 0.005, 0.01)
_NOISE_STEP = 4  # the noise is measured on every n-th frame
_FILLED_FRAMES = 8
_MOVENET = "`movenet`: yolox-nano, movenet-lightning-int8"
_HOW = {"`mediapipe`": "`models fetch`", _MOVENET: "`models fetch movenet-lightning-int8`"}

CASES: dict[str, tuple[PoseBackendName, PoseConfig]] = {
    "`mediapipe`": ("mediapipe", PoseConfig()),
    "`onnx`: yolox-nano, tinypose-256x192": ("onnx", PoseConfig()),
    "`onnx`: rtmdet-nano, tinypose-256x192": (
        "onnx",
        PoseConfig(onnx=OnnxConfig(detector="rtmdet-nano")),
    ),
    "`onnx`: yolox-nano, tinypose-128x96": (
        "onnx",
        PoseConfig(onnx=OnnxConfig(estimator="tinypose-128x96")),
    ),
    _MOVENET: ("movenet", PoseConfig()),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of one way on the clips."""

    frames_per_cpu_second: float
    people_per_frame: float
    found: float
    """Share of the people there who are found."""
    right: float
    """Share of the people found who are there."""
    jitter_percent: float
    id_changes_per_1000_frames: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0, or 2 without the models that tell who is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--clips", type=Path, required=True, nargs="+")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    parser.add_argument("--case", choices=list(CASES), action="append", help="only these")
    options = parser.parse_args(argv)
    cases = options.case or list(CASES)
    is_kept = options.output is not None and options.output.exists()
    report = json.loads(options.output.read_text()) if is_kept else {}
    todo = [case for case in cases if case not in report]
    clips: list[Clip] = []
    there: list[PoseSequence] = []
    if todo:
        cv2.setNumThreads(1)
        if _MOVENET not in todo:
            block_tensorflow_import()
        clips = read_clips(options.clips, options.frames)
        try:
            poses, _ = run_in_turn({"there": search_always("onnx", PoseConfig())}, clips)
        except ConfigError as error:
            sys.stderr.write(f"bench_pose: who is there is told by the default of onnx: {error}\n")
            return 2
        there = poses["there"]
    for case in todo:
        name, config = CASES[case]
        evaluation = PoseEvalOptions(
            annotations=options.annotations, images=options.images, backend=name, pose=config
        )
        try:
            scores = evaluate_backend(evaluation)
        except ConfigError as error:
            sys.stderr.write(f"{case}: left out ({error})\n")
            continue
        report[case] = {"scores": asdict(scores), **measure(name, config, clips, there)}
        sys.stderr.write(f"{case}: {json.dumps(report[case])}\n")
        if options.output is not None:
            options.output.write_text(json.dumps(report, indent=1))
    sys.stdout.write(tables({case: report[case] for case in cases if case in report}))
    return 0


def read_clips(folders: Sequence[Path], num_frames: int) -> list[Clip]:
    """Return the first frames of every video that can be decoded."""
    clips = []
    for path in sorted(path for folder in folders for path in folder.rglob("*.*")):
        try:
            with open_clip(
                path, start_seconds=None, end_seconds=None, is_trimmed=True, config=DecodeConfig()
            ) as decoder:
                frames = list(islice(decoder.frames(), num_frames))
        except RecordError as error:
            sys.stderr.write(f"{path.name}: left out ({error})\n")
            continue
        rgb = np.stack([frame.rgb for frame in frames])
        clips.append((rgb, np.array([frame.source_index for frame in frames], np.int64)))
    return clips


def measure(
    name: PoseBackendName,
    config: PoseConfig,
    clips: Sequence[Clip],
    there: Sequence[PoseSequence],
) -> dict[str, Any]:
    """Return the figures of a back end and of its slow way on the clips, JSON-ready."""
    backend = make_backend(name, config)
    ways: dict[str, Way] = {"fast": as_it_is(backend), "slow": slow_way(backend)}
    if isinstance(backend, OnnxBackend | MoveNetBackend):
        ways["always"] = search_always(name, config)
    poses, seconds = run_in_turn(ways, clips)
    fast = poses["fast"]
    smooth = [smoothed(each, clip) for each, clip in zip(fast, clips, strict=True)]
    filled = [fill_gaps(each, clip) for each, clip in zip(fast, clips, strict=True)]
    result: dict[str, Any] = {
        way: asdict(_figures(poses[way], seconds[way], there)) for way in ("fast", "slow")
    }
    result["smoothed_jitter_percent"] = _mean_jitter(smooth)
    result["filled_people_per_frame"] = _people(filled) - _people(fast)
    if isinstance(backend, OnnxBackend | MoveNetBackend):
        result["differ"] = {
            "every frame": _differing(fast, poses["always"]),
            "naive": _differing(fast, poses["slow"]),
            "tremble": float(
                np.sqrt(np.mean(np.concatenate(list(map(box_tremble, poses["slow"])))))
            ),
            **{f"moved {moved:g}": _noise(backend, clips, moved) for moved in _MOVED_BOXES},
        }
    backend.close()
    return result


def fill_gaps(poses: PoseSequence, clip: Clip) -> PoseSequence:
    """Return the poses of a clip as `--pose.fill-gaps` makes them."""
    filler = GapFiller(most_frames=_FILLED_FRAMES, most_people=10)
    return join_pose_sequences([filler.add(poses, clip[1]), filler.finish()])


def tables(report: dict[str, Any]) -> str:
    """Return the figures as Markdown tables."""
    lines = [
        "| back end | AP | AP50 | AR | images/s/core | frames/s/core | people/frame "
        "| jitter % (smoothed) | id changes per 1000 frames | licence | how to get it |",
        "|---|" + "---|" * 10,
    ]
    for case, each in report.items():
        scores, fast = each["scores"], each["fast"]
        lines.append(
            f"| {case} | {scores['ap']:.3f} | {scores['ap50']:.3f} | {scores['ar']:.3f} "
            f"| {scores['images_per_cpu_second']:.1f} | {fast['frames_per_cpu_second']:.1f} "
            f"| {fast['people_per_frame']:.2f} "
            f"| {fast['jitter_percent']:.1f} ({each['smoothed_jitter_percent']:.1f}) "
            f"| {fast['id_changes_per_1000_frames']:.1f} | Apache-2.0 "
            f"| {_HOW.get(case, '`models fetch NAME --from FILE`')} |"
        )
    lines += [
        "",
        "| back end (slow way in brackets) | times as fast | people/frame | found % | right % "
        "| jitter % | id changes per 1000 frames | filled people/frame |",
        "|---|" + "---|" * 7,
    ]
    for case, each in report.items():
        fast, slow = each["fast"], each["slow"]
        pairs = [
            f"{factor * fast[figure]:{form}} ({factor * slow[figure]:{form}})"
            for figure, factor, form in (
                ("people_per_frame", 1, ".2f"),
                ("found", 100, ".1f"),
                ("right", 100, ".1f"),
                ("jitter_percent", 1, ".1f"),
                ("id_changes_per_1000_frames", 1, ".1f"),
            )
        ]
        speed_up = fast["frames_per_cpu_second"] / slow["frames_per_cpu_second"]
        lines.append(
            f"| {case} | {speed_up:.2f} | " + " | ".join(pairs) + " "
            f"| {each['filled_people_per_frame']:.2f} |"
        )
    moved = [f"moved {each:g}" for each in _MOVED_BOXES]
    lines += [
        "",
        "| people who differ, % | from a search in every frame | from naive | "
        + " | ".join(f"naive, boxes {each} of their size" for each in moved)
        + " | tremble of its boxes, % |",
        "|---|" + "---|" * (3 + len(moved)),
    ]
    for case, each in report.items():
        if "differ" in each:
            columns = ("every frame", "naive", *moved, "tremble")
            shares = (f"{100 * each['differ'][column]:.1f}" for column in columns)
            lines.append(f"| {case} | " + " | ".join(shares) + " |")
    return "\n".join(lines) + "\n"


def _figures(
    poses: Sequence[PoseSequence], seconds: float, there: Sequence[PoseSequence]
) -> Figures:
    pairs = [people_there(each, truth) for each, truth in zip(poses, there, strict=True)]
    num_frames = sum(each.num_frames for each in poses)
    return Figures(
        frames_per_cpu_second=num_frames / seconds,
        people_per_frame=_people(poses),
        found=float(np.concatenate([found for found, _ in pairs]).mean()),
        right=float(np.concatenate([right for _, right in pairs]).mean()),
        jitter_percent=_mean_jitter(poses),
        id_changes_per_1000_frames=1000 * sum(map(id_changes, poses)) / num_frames,
    )


def _noise(backend: OnnxBackend | MoveNetBackend, clips: Sequence[Clip], moved: float) -> float:
    """Share of the people of `naive` who differ if boxes are moved."""
    some = [(frames[::_NOISE_STEP], indices[::_NOISE_STEP]) for frames, indices in clips]
    return _differing(
        [naive(backend, clip, moved=moved) for clip in some],
        [naive(backend, clip) for clip in some],
    )


def _differing(poses: Sequence[PoseSequence], references: Sequence[PoseSequence]) -> float:
    pairs = zip(poses, references, strict=True)
    return float(np.concatenate([differing_people(a, b) for a, b in pairs]).mean())


def _mean_jitter(poses: Sequence[PoseSequence]) -> float:
    return float(np.nanmean([jitter(each) for each in poses]))


def _people(poses: Sequence[PoseSequence]) -> float:
    return float(np.concatenate([each.num_people for each in poses]).mean())


if __name__ == "__main__":
    sys.exit(main())
