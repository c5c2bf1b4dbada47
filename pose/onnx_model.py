"""A model in an ONNX file, run by onnxruntime."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome

OnnxProvider = Literal["cpu", "cuda"]
"""Where a model runs: `cuda` needs the package onnxruntime-gpu and a CUDA device."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


class OnnxModel:
    """One model; it is loaded with the first input.

    On the CPU it runs in one thread, so that equal inputs give equal bytes and children of a run
    do not compete for cores.

    Args:
        path: The file.
        provider: Where to run it.

    Raises:
        ConfigError: If onnxruntime is missing, has no such provider, or there is no file at path.
    """

    def __init__(self, path: Path, provider: OnnxProvider) -> None:
        if not path.is_file():
            raise ConfigError(f"model must be an ONNX file, got no file {path}")
        self._path = path
        self._provider = _PROVIDERS[provider]
        available = _onnxruntime().get_available_providers()
        if self._provider not in available:
            raise ConfigError(
                f"provider must be one that onnxruntime has here ({', '.join(available)}), got "
                f"{provider}; for cuda: pip uninstall onnxruntime; "
                "pip install 'perfnet-prep[onnx-gpu]'"
            )
        self._session: Any = None
        self.model_hash = hashlib.sha256(path.read_bytes()).hexdigest()

    def run(self, batch: npt.NDArray[np.float32]) -> Sequence[npt.NDArray[np.float32]]:
        """Return the outputs for a batch of images, in the order of the model.

        Args:
            batch: float32 [N, 3, h, w].

        Raises:
            ConfigError: If the file is no model with one image as input, or of another size.
            RecordError: If the model fails on the batch (POSE_FAILED).
        """
        if self._session is None:
            self._session = _load(self._path, self._provider, batch.shape)
        name = self._session.get_inputs()[0].name
        try:
            outputs: list[Any] = self._session.run(None, {name: batch})
        except _failures() as error:
            raise RecordError(
                "", Outcome.POSE_FAILED, f"onnxruntime failed on a frame: {_first_line(error)}"
            ) from error
        return [np.asarray(output, np.float32) for output in outputs]

    @property
    def takes_batches(self) -> bool:
        """Whether the model takes any number of images at a time; known once it has run."""
        return self._session is not None and not isinstance(
            self._session.get_inputs()[0].shape[0], int
        )

    def close(self) -> None:
        """Free the model; a later run loads it again."""
        self._session = None


def _load(path: Path, provider: str, batch_shape: tuple[int, ...]) -> Any:
    """An inference session whose only input takes batches of this shape."""
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    if provider == _PROVIDERS["cuda"]:
        runtime.preload_dlls()  # of the nvidia packages, which no search path names
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    except _failures() as error:
        raise ConfigError(
            f"model must be an ONNX model, got {path} ({_first_line(error)})"
        ) from error
    inputs = session.get_inputs()
    shape = inputs[0].shape
    is_fitting = (
        len(inputs) == 1
        and len(shape) == len(batch_shape)
        and all(
            not isinstance(have, int) or have == want
            for have, want in zip(shape[1:], batch_shape[1:], strict=True)
        )
    )
    if not is_fitting or inputs[0].type != "tensor(float)":
        raise ConfigError(
            f"model must take float images of {list(batch_shape[1:])}, got {path} with "
            f"{', '.join(f'{each.type} {each.shape}' for each in inputs)}; choose the spec that "
            "fits it"
        )
    if session.get_providers()[0] != provider:
        raise ConfigError(
            f"provider must be one that works here, got {provider}, which onnxruntime could not "
            "start; is there a CUDA device with the libraries that onnxruntime-gpu needs?"
        )
    return session


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ConfigError(
            "pose_backend onnx needs the package onnxruntime; run: pip install 'perfnet-prep[onnx]'"
        ) from error
    return onnxruntime


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: classes of its own for each status, without a common parent."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [value for value in vars(state).values() if isinstance(value, type)]
    return (*(each for each in own if issubclass(each, Exception)), RuntimeError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
