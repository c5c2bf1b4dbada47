"""Draw rendered poses on images with several people, to look at the back ends side by side.

`python docs/make_pose_sheet.py --images DIR --output SHEET.png [--annotations COCO_JSON]`

With annotations, the images with the most annotated people are shown, else the first ones. Needs
the fetched models. The sheet is for looking at: COCO's images are not ours to publish.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.estimator import PoseRequest
from renderers.contact_sheet import tile_images
from renderers.pose import PoseRenderConfig, render_pose_clip

CELL_PX = 320


def main(argv: Sequence[str] | None = None) -> int:
    """Write the sheet; return exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backends", nargs="+", default=["mediapipe", "onnx"])
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args(argv)
    paths = choose_images(options.images, options.annotations, options.count)
    frames = [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths]
    cells, labels = [], []
    for name in options.backends:
        for frame in frames:
            drawn, num_people = draw_people(name, frame)
            cells.append(fit_cell(drawn))
            labels.append(f"{name}: {num_people} people")
    sheet = tile_images(cells, columns=len(frames), labels=labels)
    cv2.imwrite(str(options.output), sheet[..., ::-1])
    return 0


def choose_images(folder: Path, annotations: Path | None, count: int) -> list[Path]:
    """Return the images with the most people first."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    if annotations is not None:
        truth = json.loads(annotations.read_text())
        people = Counter(a["image_id"] for a in truth["annotations"] if a["num_keypoints"] > 0)
        names = {Path(i["file_name"]).name: people[i["id"]] for i in truth["images"]}
        paths.sort(key=lambda path: -names.get(path.name, 0))
    return paths[:count]


def draw_people(
    name: PoseBackendName, frame: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the frame with everybody whom a build would draw, and how many they are."""
    request = PoseRequest.for_frames("sheet", frame[None])
    backend = make_backend(name, PoseConfig())
    poses = backend.start_clip(request).estimate(frame[None], np.zeros(1, np.int64))
    backend.close()
    drawn = render_pose_clip(frame[None], poses, config=PoseRenderConfig())[0]
    return drawn, int(poses.num_people[0])


def fit_cell(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return uint8 [CELL_PX, CELL_PX, 3] with the image in its middle."""
    scale = CELL_PX / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = small[:CELL_PX, :CELL_PX]
    cell = np.full((CELL_PX, CELL_PX, 3), 32, np.uint8)
    top, left = (CELL_PX - small.shape[0]) // 2, (CELL_PX - small.shape[1]) // 2
    cell[top : top + small.shape[0], left : left + small.shape[1]] = small
    return cell


if __name__ == "__main__":
    sys.exit(main())
