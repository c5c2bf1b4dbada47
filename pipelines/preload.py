"""Slow imports that every child shares: the fork server imports this module once.

Only what starts no thread, as a process with threads must not fork: onnxruntime starts one and
is imported by the children that use it.
"""

import importlib
import os

_MODULES = ("numpy", "cv2", "av", "mediapipe.tasks.python.vision", "flow.tvl1")

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy and OpenCV when imported
importlib.import_module("pose.backends.mediapipe").block_tensorflow_import()
for _name in _MODULES:
    importlib.import_module(_name)
