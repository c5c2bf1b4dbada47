"""What person detectors give, as boxes of the people in a frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose.image_input import Placement
from pose.model_spec import Head, ModelSpec
from pose.oks import box_iou_matrix
from schemas.errors import ConfigError

_STRIDES = (8, 16, 32)
_PERSON = 0  # COCO's first class

Outputs = Sequence[npt.NDArray[np.float32]]
"""Arrays that a model gives, in its order."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PersonBoxes:
    """People in one frame, best first."""

    boxes: npt.NDArray[np.float32]
    """float32 [P, 4], (x0, y0, x1, y1) in pixels of the frame."""
    scores: npt.NDArray[np.float32]
    """float32 [P], 0 to 1."""


def decode_boxes(
    outputs: Outputs, spec: ModelSpec, placement: Placement, *, min_score: float, max_iou: float
) -> PersonBoxes:
    """Return the people that a detector has found.

    Args:
        outputs: What the model gave for one letterboxed frame.
        spec: What the output means.
        placement: Where the frame lies in the input.
        min_score: Leave out boxes below this score.
        max_iou: Of two boxes that overlap by more (IoU), the worse one is left out.

    Raises:
        ConfigError: If the outputs are not those of such a model.
    """
    decode = _DECODERS[spec.head]
    try:
        boxes, scores = decode(outputs, spec)
    except (ValueError, IndexError) as error:
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        raise ConfigError(
            f"model must be a detector with head {spec.head} and input {spec.input_width} x "
            f"{spec.input_height}, got outputs {shapes}; choose the spec that fits it"
        ) from error
    strong = np.flatnonzero(scores >= min_score)
    order = strong[np.argsort(-scores[strong], kind="stable")]
    boxes = placement.to_frame(boxes[order].reshape(-1, 2, 2)).reshape(-1, 4)
    kept = suppress_boxes(boxes, max_iou=max_iou)
    return PersonBoxes(boxes=boxes[kept], scores=scores[order][kept])


def suppress_boxes(boxes: npt.NDArray[np.float32], *, max_iou: float) -> list[int]:
    """Return the indices of float32 [P, 4] boxes, best first, that no better one covers."""
    overlap = box_iou_matrix(boxes, boxes)
    kept: list[int] = []
    for person in range(len(boxes)):
        if not kept or overlap[person, kept].max() <= max_iou:
            kept.append(person)
    return kept


_Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]  # [N, 4] of the input, [N]


def _decode_yolox(outputs: Outputs, spec: ModelSpec) -> _Found:
    """Rows (centre x, y, log width, height, objectness, classes...) in order of the strides."""
    (rows,) = outputs
    cells = [_cells(spec, stride) for stride in _STRIDES]
    grid = np.concatenate(cells)
    strides = np.repeat(np.array(_STRIDES, np.float32), [len(cell) for cell in cells])[:, None]
    rows = rows.reshape(len(grid), -1)
    centres = (rows[:, :2] + grid) * strides
    halves = np.exp(rows[:, 2:4]) * strides / 2
    boxes = np.concatenate((centres - halves, centres + halves), axis=1)
    return boxes.astype(np.float32), rows[:, 4] * rows[:, 5 + _PERSON]


def _decode_rtmdet(outputs: Outputs, spec: ModelSpec) -> _Found:
    """Maps [1, h, w, 5] of (logit, left, top, right, bottom), pixels from the cell's corner."""
    boxes, logits = [], []
    for output, stride in zip(outputs, _STRIDES, strict=True):
        anchors = _cells(spec, stride) * np.float32(stride)
        cells = output.reshape(len(anchors), 5)
        logits.append(cells[:, 0])
        boxes.append(np.concatenate((anchors - cells[:, 1:3], anchors + cells[:, 3:5]), axis=1))
    logit = np.concatenate(logits)
    scores: npt.NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(-logit))
    return np.concatenate(boxes), scores


def _decode_detections(outputs: Outputs, spec: ModelSpec) -> _Found:  # noqa: ARG001 - one of three
    """Boxes [1, N, 5] of (x0, y0, x1, y1, score) and their classes [1, N], if there are any."""
    found = outputs[0].reshape(-1, 5)
    if len(outputs) > 1:
        found = found[outputs[1].reshape(len(found)) == _PERSON]
    return found[:, :4], found[:, 4]


def _cells(spec: ModelSpec, stride: int) -> npt.NDArray[np.float32]:
    """float32 [h * w, 2]: (column, row) of every cell of a grid, row by row."""
    rows, columns = spec.input_height // stride, spec.input_width // stride
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    return grid.reshape(-1, 2).astype(np.float32)


_DECODERS: dict[Head, Callable[[Outputs, ModelSpec], _Found]] = {
    "yolox": _decode_yolox,
    "rtmdet": _decode_rtmdet,
    "detections": _decode_detections,
}
