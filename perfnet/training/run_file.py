"""`run.json` of a training run: what it was told, and by which versions it was made."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from schemas.sealed_json import hash_json
from schemas.versions import environment_with

RUN_FILE = "run.json"
_PACKAGES = ("perfnet-prep", "torch", "accelerate", "numpy", "opencv-contrib-python")


def write_run_file(folder: Path, settings: dict[str, Any], model: nn.Module) -> None:
    """Write what a run is, for people; a run that goes on reads its checkpoint instead.

    Args:
        folder: Output folder of the run; made if need be.
        settings: Everything that the run was told, as plain values.
        model: The network.
    """
    number = sum(parameter.numel() for parameter in model.parameters())
    values = {
        "config": settings,
        "config_hash": hash_json(settings),
        "environment": environment_with(_PACKAGES),
        "parameters": number,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=2, ensure_ascii=False)
    (folder / RUN_FILE).write_text(text + "\n", "utf-8")
