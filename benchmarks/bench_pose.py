"""Measure every pose back end: COCO AP and AR, speed, people, jitter, ids; print the table.

Run from the root of the repository:

```
python -m benchmarks.bench_pose --annotations COCO_JSON --images DIR --clips DIR [--frames 32]
```

AP and AR count everybody who is found (`perfnet-prep pose-eval`). The rest is measured on the
first frames of every video below the folder of the clips, each decoded as `build` does. Speed is
frames per second of CPU time of all threads. Back ends whose models are not in the cache are left
out. MediaPipe is compared with two slower ways, people scored and made one in the same manner:

- brute force: the whole of every frame and 21 tiles of it (3 x 3 and 3 x 4);
- its own search, which has fewer tiles, in every frame.

Two-stage back ends are compared with these:

- `naive`: detector and pose model on every frame, each frame on its own;
- `every frame`: the back end itself with `detect_every=1`.

People differ who have OKS under .95 on the keypoints that are drawn (score .3) or are missing. The
noise of `naive` itself is what differs when every box is moved by one hundredth of its size.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.pose_figures import differing_people, id_changes, jitter
from pipelines.pose_eval import PoseEvalOptions, evaluate_backend
from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.backends.mediapipe import MediaPipeBackend, block_tensorflow_import
from pose.backends.movenet import MoveNetBackend
from pose.backends.onnx import OnnxBackend, OnnxConfig
from pose.estimator import ClipPoseEstimator, FramePoses, PoseRequest, TrackedPoses, stack_frames
from pose.followed_person import mean_seen_score
from pose.oks import suppress_duplicates
from pose.tiled_estimator import search_squares
from pose.tiling import Square, detect_in_squares, whole_frame
from pose.track import Tracker, TrackerConfig
from schemas.errors import ConfigError, RecordError
from schemas.pose_sequence import PoseSequence
from video.decode import DecodeConfig, open_clip

_MOVED_BOX = 0.01
_HOW = {
    "mediapipe": ("Apache-2.0", "`models fetch`"),
    "movenet lightning int8": ("Apache-2.0", "`models fetch movenet-lightning-int8`"),
}
_ONNX = ("Apache-2.0", "`models fetch NAME --from FILE`")

CASES: dict[str, tuple[PoseBackendName, PoseConfig]] = {
    "mediapipe": ("mediapipe", PoseConfig()),
    "yolox-nano, tinypose 256x192": ("onnx", PoseConfig()),
    "yolox-nano, tinypose 128x96": (
        "onnx",
        PoseConfig(onnx=OnnxConfig(estimator="tinypose-128x96")),
    ),
    "rtmdet-nano, tinypose 256x192": ("onnx", PoseConfig(onnx=OnnxConfig(detector="rtmdet-nano"))),
    "movenet lightning int8": ("movenet", PoseConfig()),
}

Clip = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
Run = Callable[[Clip], PoseSequence]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured of one back end on the clips."""

    frames_per_cpu_second: float
    people_per_frame: float
    jitter_percent: float
    id_changes_per_1000_frames: float
    speed_up: float
    """Over `naive`, or over brute-force tiling for MediaPipe."""
    slow_people_per_frame: float
    """The same for the slow way."""
    slow_jitter_percent: float
    search_speed_up: float
    """Over the own search in every frame (MediaPipe); NaN where it was not compared."""
    search_people_per_frame: float
    differs_from_every_frame: float
    """Share of the people; NaN where it was not compared."""
    differs_from_naive: float
    naive_noise: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--clips", type=Path, required=True, nargs="+")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--case", choices=list(CASES), action="append", help="only these")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    if "movenet lightning int8" not in (options.case or CASES):
        block_tensorflow_import()
    clips = read_clips(options.clips, options.frames)
    report = {}
    for case in options.case or CASES:
        name, config = CASES[case]
        try:
            scores = evaluate_backend(
                PoseEvalOptions(
                    annotations=options.annotations,
                    images=options.images,
                    backend=name,
                    pose=config,
                )
            )
        except ConfigError as error:
            sys.stderr.write(f"{case}: left out ({error})\n")
            continue
        sys.stderr.write(f"{case}: {scores.text()}\n")
        figures = measure_clips(name, config, clips)
        report[case] = {"scores": asdict(scores), "clips": asdict(figures)}
        sys.stderr.write(f"{case}: {json.dumps(report[case])}\n")
    sys.stdout.write(table(report))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1))
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


def measure_clips(name: PoseBackendName, config: PoseConfig, clips: Sequence[Clip]) -> Figures:
    """Run a back end and the slower ways over the clips."""
    fast, seconds = _run_all(_estimator_of(name, config), clips)
    num_frames = sum(len(clip[0]) for clip in clips)
    nan = float("nan")
    every_frame, from_naive, noise = nan, nan, nan
    search_seconds, search_people = nan, nan
    backend = make_backend(name, config)
    if isinstance(backend, MediaPipeBackend):
        slow, slow_seconds = _run_all(
            lambda clip: _tile_everything(backend, clip, brute_force_squares), clips
        )
        own = partial(search_squares, backend.tiling)
        searched, search_seconds = _run_all(
            lambda clip: _tile_everything(backend, clip, own), clips
        )
        search_people = _people(searched)
    elif isinstance(backend, OnnxBackend | MoveNetBackend):
        slow, slow_seconds = _run_all(lambda clip: _naive(backend, clip, 0.0), clips)
        moved, _ = _run_all(lambda clip: _naive(backend, clip, _MOVED_BOX), clips)
        always, _ = _run_all(_estimator_of(name, _always(config)), clips)
        every_frame = _share(fast, always)
        from_naive, noise = _share(fast, slow), _share(moved, slow)
    else:
        raise ConfigError(f"case must be a back end that estimates poses, got {name}")
    backend.close()
    return Figures(
        frames_per_cpu_second=num_frames / seconds,
        people_per_frame=_people(fast),
        jitter_percent=float(np.nanmean([jitter(poses) for poses in fast])),
        id_changes_per_1000_frames=1000 * sum(map(id_changes, fast)) / num_frames,
        speed_up=slow_seconds / seconds,
        slow_people_per_frame=_people(slow),
        slow_jitter_percent=float(np.nanmean([jitter(poses) for poses in slow])),
        search_speed_up=search_seconds / seconds,
        search_people_per_frame=search_people,
        differs_from_every_frame=every_frame,
        differs_from_naive=from_naive,
        naive_noise=noise,
    )


def table(report: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the figures as a Markdown table."""
    head = (
        "| back end | AP | AP50 | AR | frames/s/core | times slow way | people/frame (slow way) "
        "| jitter % (slow way) | id changes /1000 frames | licence | how to get it |"
    )
    lines = [head, "|---|" + "---|" * 10]
    for case, each in report.items():
        scores, clips = each["scores"], each["clips"]
        licence, how = _HOW.get(case, _ONNX)
        lines.append(
            f"| {case} | {scores['ap']:.3f} | {scores['ap50']:.3f} | {scores['ar']:.3f} "
            f"| {clips['frames_per_cpu_second']:.1f} | {clips['speed_up']:.2f} "
            f"| {clips['people_per_frame']:.2f} ({clips['slow_people_per_frame']:.2f}) "
            f"| {clips['jitter_percent']:.2f} ({clips['slow_jitter_percent']:.2f}) "
            f"| {clips['id_changes_per_1000_frames']:.1f} | {licence} | {how} |"
        )
    for case, each in report.items():
        clips = each["clips"]
        if not np.isnan(clips["search_speed_up"]):
            lines += [
                "",
                f"{case}: {clips['search_speed_up']:.2f} times its own search in every frame, "
                f"which finds {clips['search_people_per_frame']:.2f} people/frame.",
            ]
    lines += [
        "",
        "| back end | differ from every frame | from naive | noise of naive |",
        "|---|---|---|---|",
    ]
    for case, each in report.items():
        clips = each["clips"]
        if np.isnan(clips["naive_noise"]):
            continue  # not compared
        shares = ("differs_from_every_frame", "differs_from_naive", "naive_noise")
        lines.append(f"| {case} | " + " | ".join(f"{100 * clips[s]:.1f} %" for s in shares) + " |")
    return "\n".join(lines) + "\n"


def _estimator_of(name: PoseBackendName, config: PoseConfig) -> Run:
    backend = make_backend(name, config)

    def run(clip: Clip) -> PoseSequence:
        return _start(backend, clip).estimate(*clip)

    return run


def _start(
    backend: MediaPipeBackend | OnnxBackend | MoveNetBackend, clip: Clip
) -> ClipPoseEstimator:
    height, width = clip[0].shape[1:3]
    return backend.start_clip(
        PoseRequest(
            clip_id="clip",
            media_id="clip",
            relative_path="clip",
            frame_width=width,
            frame_height=height,
            source_width=width,
            source_height=height,
        )
    )


def _run_all(run: Run, clips: Sequence[Clip]) -> tuple[list[PoseSequence], float]:
    """Poses of all clips and the CPU seconds they took, but for loading."""
    run((clips[0][0][:1], clips[0][1][:1]))
    start = time.process_time()
    return [run(clip) for clip in clips], time.process_time() - start


def _naive(backend: OnnxBackend | MoveNetBackend, clip: Clip, moved: float) -> PoseSequence:
    """Every frame on its own; boxes moved at random by a part of their size."""
    random = np.random.default_rng(0)
    follow = backend.follow
    frames, tracker = [], Tracker(TrackerConfig())
    for frame in clip[0]:
        found = backend.find_boxes(frame)
        sides = np.tile(found.boxes[:, 2:] - found.boxes[:, :2], 2)
        boxes = found.boxes + (moved * random.standard_normal(sides.shape) * sides).astype(
            np.float32
        )
        points, scores = backend.estimate_keypoints(frame, boxes)
        sure = np.array([mean_seen_score(each) for each in scores], np.float32) * found.scores
        poses = FramePoses(keypoints=points, scores=scores, boxes=boxes, box_scores=sure)
        poses = poses.select(np.flatnonzero(sure >= follow.min_person_score)[: follow.max_people])
        frames.append(TrackedPoses(poses=poses, track_ids=tracker.update(poses)))
    return stack_frames(frames)


def brute_force_squares(*, width: int, height: int) -> tuple[Square, ...]:
    """Return the whole of a frame and 21 tiles, whatever its shape: 3 x 3 larger, 3 x 4 smaller."""
    squares = [whole_frame(width=width, height=height)]
    for share, rows, columns in ((2 / 3, 3, 3), (1 / 2, 3, 4)):
        side = int(min(width, height) * share)
        lefts = np.linspace(0, width - side, columns).round().astype(int).tolist()
        tops = np.linspace(0, height - side, rows).round().astype(int).tolist()
        squares += [Square(left, top, side) for top in tops for left in lefts]
    return tuple(squares)


def _tile_everything(
    backend: MediaPipeBackend, clip: Clip, choose_squares: Callable[..., tuple[Square, ...]]
) -> PoseSequence:
    """MediaPipe on the same squares of every frame."""
    tiling = backend.tiling
    height, width = clip[0].shape[1:3]
    squares = choose_squares(width=width, height=height)
    frames, tracker = [], Tracker(TrackerConfig())
    for frame in clip[0]:
        found = detect_in_squares(frame, squares, backend.detect)
        strong = found.select(np.flatnonzero(found.box_scores >= tiling.min_person_score))
        poses = suppress_duplicates(strong, threshold=tiling.duplicate_oks)
        poses = poses.select(list(range(min(poses.num_people, tiling.max_people))))
        frames.append(TrackedPoses(poses=poses, track_ids=tracker.update(poses)))
    return stack_frames(frames)


def _always(config: PoseConfig) -> PoseConfig:
    """The options with a search in every frame."""
    onnx = replace(config.onnx, follow=replace(config.onnx.follow, detect_every=1))
    movenet = replace(config.movenet, follow=replace(config.movenet.follow, detect_every=1))
    return replace(config, onnx=onnx, movenet=movenet)


def _share(poses: Sequence[PoseSequence], references: Sequence[PoseSequence]) -> float:
    pairs = zip(poses, references, strict=True)
    return float(np.concatenate([differing_people(a, b) for a, b in pairs]).mean())


def _people(poses: Sequence[PoseSequence]) -> float:
    return float(np.concatenate([each.num_people for each in poses]).mean())


if __name__ == "__main__":
    sys.exit(main())
