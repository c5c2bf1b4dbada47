import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pose.backends import movenet
from pose.backends.movenet import MoveNetBackend, MoveNetConfig
from pose.estimator import PoseRequest
from schemas.errors import ConfigError

REQUEST = PoseRequest(
    clip_id="c",
    media_id="m",
    relative_path="v.avi",
    frame_width=320,
    frame_height=240,
    source_width=320,
    source_height=240,
)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the model gives; the images that it saw stand under `seen`."""
    told: dict[str, Any] = {"seen": []}

    def load(_path: Path) -> Any:
        def infer(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            told["seen"].append(image.shape)
            return np.asarray(told["output"], np.float32)

        return infer

    monkeypatch.setattr(movenet, "load_model", load)
    return told


def multi_pose(tmp_path: Path) -> MoveNetBackend:
    path = tmp_path / "multi.tflite"
    path.write_bytes(b"model")
    return MoveNetBackend(MoveNetConfig(kind="multi-pose", model=path))


def test_multi_pose_rows_become_people_in_pixels(tmp_path: Path, answer: dict[str, Any]) -> None:
    rows = np.zeros((1, 6, 56), np.float32)
    rows[0, 1, :51] = np.tile((0.5, 0.25, 0.8), 17)
    rows[0, 1, 51:] = (0.25, 0.125, 0.75, 0.5, 0.9)
    answer["output"] = rows
    frames = np.zeros((1, 240, 320, 3), np.uint8)  # 256 x 192 in the model
    sequence = multi_pose(tmp_path).start_clip(REQUEST).estimate(frames, np.zeros(1, np.int64))
    assert answer["seen"] == [(1, 192, 256, 3)]
    assert sequence.num_people.tolist() == [1]
    np.testing.assert_allclose(sequence.keypoints[0, 0], [[79.5, 119.5]] * 17)
    np.testing.assert_allclose(sequence.boxes[0, 0], [39.5, 59.5, 159.5, 179.5])
    np.testing.assert_allclose(sequence.scores[0, 0], 0.8)


def test_the_input_of_multi_pose_is_padded_to_multiples_of_32(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    rows = np.zeros((1, 6, 56), np.float32)
    rows[0, 0, :51] = np.tile((100 / 160, 0.5, 0.8), 17)  # 144 rows of the frame, 16 of padding
    rows[0, 0, 51:] = (0, 0, 1, 1, 0.9)
    answer["output"] = rows
    frames = np.zeros((1, 288, 512, 3), np.uint8)
    sequence = multi_pose(tmp_path).start_clip(REQUEST).estimate(frames, np.zeros(1, np.int64))
    assert answer["seen"] == [(1, 160, 256, 3)]
    np.testing.assert_allclose(sequence.keypoints[0, 0, 0], [255.5, 199.5], atol=1e-3)


def test_single_pose_sees_a_square_around_the_box(
    tmp_path: Path, answer: dict[str, Any], save_constant: Any
) -> None:
    box = np.array([[[200, 100, 300, 300, 0.9]]], np.float32)
    detector = save_constant(box, height=640, width=640)
    (tmp_path / "single.tflite").write_bytes(b"model")
    answer["output"] = np.tile(np.array((0.5, 0.25, 0.7), np.float32), 17).reshape(1, 1, 17, 3)
    backend = MoveNetBackend(
        MoveNetConfig(
            model=tmp_path / "single.tflite",
            detector=str(detector),
            detector_spec="detections-640",
        )
    )
    points, scores = backend.estimate_keypoints(
        np.zeros((640, 640, 3), np.uint8), box[0, :, :4].copy()
    )
    # The square of 250 around (250, 200): 125 to 375 and 75 to 325.
    np.testing.assert_allclose(points[0], [[125 + 62.5 - 0.5, 75 + 125 - 0.5]] * 17)
    np.testing.assert_allclose(scores, 0.7)
    assert answer["seen"] == [(1, 192, 192, 3)]


def test_a_model_of_the_other_kind_is_refused(tmp_path: Path, answer: dict[str, Any]) -> None:
    answer["output"] = np.zeros((1, 1, 17, 3), np.float32)
    with pytest.raises(ConfigError, match=r"must be of kind multi-pose and give rows of 56"):
        multi_pose(tmp_path).find_people(np.zeros((64, 64, 3), np.uint8))


def test_multi_pose_needs_its_model() -> None:
    with pytest.raises(ConfigError, match=r"pose\.movenet\.model must be given for kind multi"):
        MoveNetConfig(kind="multi-pose")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pose\.movenet\.model must be a file or folder"):
        MoveNetBackend(MoveNetConfig(kind="multi-pose", model=tmp_path / "nowhere"))


SAVE_AND_RUN = """
import sys
import numpy as np
from pathlib import Path
sys.modules["tensorflow"] = None  # as in a child of a run
from pose.tensorflow_model import load_model
from schemas.errors import ConfigError
folder = Path(sys.argv[1])
(folder / "bad.tflite").write_bytes(b"no model")
try:
    load_model(folder / "bad.tflite")
except ConfigError as error:
    assert "model must be a TensorFlow Lite file" in str(error), error
import tensorflow as tf
class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.int32, name="input")])
    def call(self, input):
        mean = tf.reduce_mean(tf.cast(input, tf.float32))
        return {"output_0": tf.fill((1, 6, 56), mean)}
model = Model()
tf.saved_model.save(model, str(folder / "saved"), signatures=model.call.get_concrete_function())
converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
(folder / "model.tflite").write_bytes(converter.convert())
for name in ("saved", "model.tflite"):
    infer = load_model(folder / name)
    for size in ((32, 64), (64, 32)):
        output = infer(np.full((1, *size, 3), 7, np.uint8))
        assert output.shape == (1, 6, 56) and (output == 7).all(), (name, output)
"""


@pytest.mark.slow
def test_saved_models_and_lite_files_run_where_tensorflow_was_kept_out(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    command = [sys.executable, "-c", SAVE_AND_RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


REAL = """
import sys
import cv2
import numpy as np
from pose.backends.movenet import MoveNetBackend, MoveNetConfig
from pose.estimator import PoseRequest
image = np.ascontiguousarray(cv2.imread(sys.argv[1])[..., ::-1])
request = PoseRequest(clip_id="", media_id="", relative_path="", frame_width=1, frame_height=1,
                      source_width=1, source_height=1)
poses = MoveNetBackend(MoveNetConfig()).start_clip(request).estimate(image[None], np.zeros(1, int))
print(int(poses.num_people[0]), float(poses.scores[0, 0].mean()))
"""


@pytest.mark.corpus
@pytest.mark.slow
def test_the_real_model_finds_a_person(
    real_models: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("PERFNET_PREP_CACHE", str(real_models))
    (image,) = (corpus / "pose" / "coco_minicoco" / "images").rglob("*78381.jpg")
    assert cv2.imread(str(image)) is not None
    command = [sys.executable, "-c", REAL, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    people, score = done.stdout.split()
    assert int(people) >= 1
    assert float(score) > 0.2
