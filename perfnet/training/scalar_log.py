"""TensorBoard logs, without the TensorFlow that TensorBoard imports wherever it is installed."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def open_scalar_log(folder: Path, *, first_step: int = 0) -> Any:
    """Return a `torch.utils.tensorboard.SummaryWriter`.

    TensorFlow takes seconds to import and its LLVM cannot live beside Triton's in one process.

    Args:
        folder: Where the event files go.
        first_step: What an interrupted run wrote of this step and later ones is not shown.
    """
    # TensorBoard's own switch: with this module there it uses its file system code instead.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step)
