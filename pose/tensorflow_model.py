"""A model of one image in a TensorFlow Lite file or a SavedModel folder, run on one thread."""

import hashlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError

Infer = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Image uint8 [1, h, w, 3] RGB in, the model's only output out."""


def hash_model(path: Path) -> str:
    """Return the SHA-256 hex digest of a file, or of the names and digests of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(each for each in path.rglob("*") if each.is_file())
    lines = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.relative_to(path).as_posix()}\n"
        for each in files
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_model(path: Path) -> Infer:
    """Return the function of a model.

    Args:
        path: `.tflite` file, or folder of a SavedModel.

    Raises:
        ConfigError: If TensorFlow is missing, or there is no such model at path.
    """
    tensorflow = _tensorflow()
    try:
        return _load_saved(tensorflow, path) if path.is_dir() else _load_lite(tensorflow, path)
    except (ValueError, OSError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(
            f"model must be a TensorFlow Lite file or a SavedModel folder, got {path} ({lines[0]})"
        ) from error


def _tensorflow() -> Any:
    """TensorFlow, also in a process that has kept MediaPipe from importing it."""
    if "tensorflow" in sys.modules and sys.modules["tensorflow"] is None:
        del sys.modules["tensorflow"]
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        raise ConfigError(
            "pose_backend movenet needs the package tensorflow; run: pip install "
            "'perfnet-prep[movenet]'"
        ) from error
    if not tensorflow.executing_eagerly():
        raise ConfigError("pose_backend movenet needs TensorFlow 2, got an older one")
    return tensorflow


def _load_lite(tensorflow: Any, path: Path) -> Infer:
    with warnings.catch_warnings():  # it announces another package for this class
        warnings.simplefilter("ignore")
        interpreter = tensorflow.lite.Interpreter(str(path), num_threads=1)
    (image,), (output, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    last_shape: list[tuple[int, ...]] = []

    def infer(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if last_shape != [frame.shape]:
            interpreter.resize_tensor_input(image["index"], frame.shape)
            interpreter.allocate_tensors()
            last_shape[:] = [frame.shape]
        interpreter.set_tensor(image["index"], frame.astype(image["dtype"]))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(output["index"]), np.float32)

    return infer


def _load_saved(tensorflow: Any, path: Path) -> Infer:
    threading = tensorflow.config.threading
    if threading.get_intra_op_parallelism_threads() != 1:
        try:
            threading.set_intra_op_parallelism_threads(1)
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # TensorFlow has run in this process: its threads are what they are
            pass
    model = tensorflow.saved_model.load(str(path))
    function = model.signatures["serving_default"]
    _, named = function.structured_input_signature
    name, tensor = next(iter(named.items()))

    def infer(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        given = tensorflow.constant(frame.astype(tensor.dtype.as_numpy_dtype))
        return np.array(next(iter(function(**{name: given}).values())), np.float32)

    infer.model = model  # type: ignore[attr-defined] # its variables live as long as the model
    return infer
