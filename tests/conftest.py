"""Fixtures shared by all tests."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

# Networks of tests are tiny, and threads of torch that wait for each other take most of the time.
# Set before anything imports torch; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus of real videos and annotations, or a skip that says what is missing."""
    folder = Path(os.environ.get("PERFNET_CORPUS", REPOSITORY.parent / "shared" / "corpus"))
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip(f"corpus of real videos not found at {folder} (set PERFNET_CORPUS)")
    return folder


POSE_MODELS = {
    "yolox-nano": "yolox_nano.onnx",
    "rtmdet-nano": "rtmdet_nano_person.onnx",
    "tinypose-256x192": "tinypose_256x192_w16_dyn.onnx",
    "tinypose-128x96": "tinypose_128x96_w16_dyn.onnx",
    "movenet-lightning-int8": "movenet_singlepose_lightning_int8.tflite",
}

SaveModel = Callable[..., Path]


@pytest.fixture
def save_constant(tmp_path: Path) -> SaveModel:
    """Gives an ONNX file that takes images and answers with fixed arrays, whatever it sees."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def save(*outputs: npt.NDArray[np.float32], height: int, width: int) -> Path:
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        nodes = [
            helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
            helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
        ]
        constants, infos = [], []
        for index, output in enumerate(outputs):
            constants.append(onnx.numpy_helper.from_array(output, f"fixed{index}"))
            nodes.append(helper.make_node("Add", [f"fixed{index}", "nothing"], [f"out{index}"]))
            infos.append(helper.make_tensor_value_info(f"out{index}", kind, output.shape))
        return _save(onnx, tmp_path / "constant.onnx", nodes, (1, height, width), infos, constants)

    return save


@pytest.fixture
def save_dot_finder(tmp_path: Path) -> SaveModel:
    """Gives an ONNX file whose 17 heat maps are the red of the image at a quarter of its size."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def save(*, height: int, width: int) -> Path:
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        slices = {"first": [0], "second": [1], "axis": [1]}
        constants = [
            onnx.numpy_helper.from_array(np.array(v, np.int64), k) for k, v in slices.items()
        ]
        nodes = [
            helper.make_node("Slice", ["image", "first", "second", "axis"], ["red"]),
            helper.make_node("AveragePool", ["red"], ["map"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Concat", ["map"] * 17, ["maps"], axis=1),
        ]
        shape = ("N", 17, height // 4, width // 4)
        infos = [helper.make_tensor_value_info("maps", kind, shape)]
        return _save(onnx, tmp_path / "dot.onnx", nodes, ("N", height, width), infos, constants)

    return save


def _save(
    onnx: Any, path: Path, nodes: Any, size: tuple[Any, int, int], outputs: Any, constants: Any
) -> Path:
    helper = onnx.helper
    batch, height, width = size
    image = helper.make_tensor_value_info(
        "image", onnx.TensorProto.FLOAT, (batch, 3, height, width)
    )
    graph = helper.make_graph(nodes, "tiny", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the real models, or a skip that says what is missing."""
    pytest.importorskip("onnxruntime")
    folder = Path(os.environ.get("PERFNET_MODELS", REPOSITORY.parent / "shared" / "models"))
    if not all((folder / name).is_file() for name in POSE_MODELS.values()):
        pytest.skip(f"real pose models not found at {folder} (set PERFNET_MODELS)")
    from pose.assets import fetch_asset

    cache = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERFNET_PREP_CACHE", str(cache))
        for name, file_name in POSE_MODELS.items():
            fetch_asset(name, source=folder / file_name)
    return cache
