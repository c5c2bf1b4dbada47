"""Options of `perfnet-train toy`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from perfnet.toy.config import ToyConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ToyOptions:
    """Generate shards of moving figures, to try the whole chain without any video."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the shards of each split."""
    config: Annotated[ToyConfig, tyro.conf.arg(name="")] = field(default_factory=ToyConfig)
    """The world and the number of clips."""
