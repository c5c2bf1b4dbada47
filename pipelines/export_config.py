"""What `perfnet-prep export` can be told."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipelines.config import Modality
from schemas.errors import ConfigError

_Paths = Annotated[tuple[str, ...], tyro.conf.arg(metavar="DIR [DIR ...] DEST")]


@dataclass(frozen=True, kw_only=True, slots=True)
class _ExportPaths:
    """Where from and where to."""

    paths: tyro.conf.Positional[_Paths]
    """Output folders of `perfnet-prep build`, such as those of two splits, with the same label
    map; last the folder to write, new or empty."""

    def __post_init__(self) -> None:
        if len(self.paths) < 2:
            raise ConfigError(
                "export must be given at least one output folder and a destination, "
                f"got {' '.join(self.paths) or 'nothing'}"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Output folders to read."""
        return self.paths[:-1]

    @property
    def destination(self) -> str:
        """Folder to write."""
        return self.paths[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mmaction2Options(_ExportPaths):
    """Write frames and flow as files and lists, as mmaction2's RawframeDataset reads them."""

    modalities: tuple[Modality, ...] = ("rgb", "flow")
    """Streams to write; `pose` is the frames with poses drawn on them, `pa` grey images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PysklOptions(_ExportPaths):
    """Write poses as one pickle, as PYSKL and mmaction2's PoseDataset read them."""

    max_people: int | None = None
    """Write only the N best tracks of a clip; by default all."""

    def __post_init__(self) -> None:
        _ExportPaths.__post_init__(self)
        if self.max_people is not None and self.max_people < 1:
            raise ConfigError(f"max_people must be >= 1, got {self.max_people}")


ExportOptions = (
    Annotated[Mmaction2Options, tyro.conf.subcommand("mmaction2")]
    | Annotated[PysklOptions, tyro.conf.subcommand("pyskl")]
)
"""One sub-command for each kind of data set."""
