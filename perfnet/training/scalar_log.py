"""TensorBoard logs, without the TensorFlow that TensorBoard imports wherever it is installed."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def open_scalar_log(folder: Path) -> Any:
    """Return a `torch.utils.tensorboard.SummaryWriter`.

    TensorFlow takes seconds to import and its LLVM cannot live beside Triton's in one process.

    Args:
        folder: Where the event files go.
    """
    # TensorBoard's own switch: with this module there it uses its file system code instead.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
