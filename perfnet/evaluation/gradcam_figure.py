"""Grad-CAM of several streams over their own pictures, as in PERF-Net, Figure 5."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tyro
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flow.quantize import dequantize_flow
from perfnet.data.collate import collate_clips, to_model_input
from perfnet.data.shard_dataset import SampleKey, ShardDataset
from perfnet.data.shard_folder import open_shard_folder
from perfnet.evaluation.evaluate import check_labels
from perfnet.evaluation.gradcam import ClassHeat, class_heat
from perfnet.evaluation.network import LookOptions, Network, choose_view, load_network
from perfnet.modality import Modality
from perfnet.models.registry import is_signed
from renderers.flow_color import flow_to_color
from schemas.errors import ConfigError

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class GradCamConfig:
    """Draw which places and frames of a clip speak for a class: one row for each checkpoint.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    checkpoint: tuple[Path, ...]
    """Checkpoints, or output folders of runs, of any streams and networks."""
    shards: Path
    """Finished output folder of `perfnet-prep build` that has the clip."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Picture to write (.png)."""
    clip: str | None = None
    """Id of the clip; None = the first of the shards."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Class to explain; without it the clip's own, or of a clip without one the predicted."""
    frames: int = 6
    """Frames to show, spread over the window."""
    input: tuple[int, int, int] | None = None
    """Frames, height and width of the central crop; without it, as each training run evaluated."""

    def __post_init__(self) -> None:
        if not self.checkpoint:
            raise ConfigError("checkpoint must name at least one, got none")
        if self.frames < 1:
            raise ConfigError(f"frames must be >= 1, got {self.frames}")
        if self.output.suffix != ".png":
            raise ConfigError(f"output must end in .png, got {self.output}")


class HeatRow(NamedTuple):
    """One stream of a clip."""

    title: str
    pictures: UInt8
    """uint8 [t, h, w, 3], RGB: what the stream looks like to a person."""
    heat: npt.NDArray[np.float32]
    """float32 [t, h, w], 0 to 1."""


def draw_gradcam(config: GradCamConfig) -> list[str]:
    """Write the picture.

    Returns:
        The clip's id, and a line for each checkpoint: stream, class, probability, predicted class.

    Raises:
        ConfigError: If the clip or the class is not there, or checkpoint and shards do not fit.
    """
    clip = _find_clip(config)
    rows = [_explain(path, config, clip) for path in config.checkpoint]
    figure = draw_rows(rows, num_columns=config.frames, title=clip)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(config.output, metadata={"Software": None})
    return [clip, *(row.title for row in rows)]


def _find_clip(config: GradCamConfig) -> str:
    clip_ids: list[str] = open_shard_folder(config.shards).clip_ids.to_pylist()
    if not clip_ids:
        raise ConfigError(f"shards must hold at least one clip, got none in {config.shards}")
    if config.clip is not None and config.clip not in clip_ids:
        raise ConfigError(
            f"clip must be one of {config.shards}, such as {clip_ids[0]!r}, got {config.clip!r}; "
            "the ids are in the column clip_id of its ledger.parquet"
        )
    return config.clip or clip_ids[0]


def _explain(path: Path, config: GradCamConfig, clip: str) -> HeatRow:
    network = load_network(path)
    card = network.card
    view = choose_view(network, LookOptions(input=config.input))
    dataset = ShardDataset(config.shards, modalities=(card.modality,), view=view)
    check_labels(card, dataset, config.shards)
    number = dataset.clip_ids.index(clip)
    batch = collate_clips([dataset[SampleKey(number)]])
    device = next(network.model.parameters()).device
    signed = is_signed(card.model.name)
    inputs = to_model_input(batch, card.modality, signed=signed, device=device)
    wanted = _class_index(config.label, dataset.label_indices[number], card.labels)
    found = class_heat(network.model, inputs, class_index=wanted)
    return HeatRow(
        title=_describe(path, network, found),
        pictures=stream_pictures(batch[card.modality][0].numpy(), card.modality),
        heat=found.heat_thw.numpy(),
    )


def _class_index(label: str | None, own: int, labels: Sequence[str]) -> int | None:
    if label is None:
        return own if own >= 0 else None
    if label not in labels:
        raise ConfigError(
            f"class must be one of the {len(labels)} of the checkpoint, such as {labels[0]!r}, "
            f"got {label!r}"
        )
    return list(labels).index(label)


def _describe(path: Path, network: Network, found: ClassHeat) -> str:
    labels = network.card.labels
    shares = found.logits_k.softmax(dim=0)
    best = int(found.logits_k.argmax())
    text = f"{network.card.modality} ({network.card.model.name}, {path}): "
    text += f"{labels[found.class_index]} {float(shares[found.class_index]):.0%}"
    if best != found.class_index:
        text += f", predicted {labels[best]} {float(shares[best]):.0%}"
    if not found.heat_thw.any():
        text += "; nothing speaks for it"
    return text


def stream_pictures(codes: UInt8, modality: Modality) -> UInt8:
    """Return uint8 [T, H, W, 3], RGB: a stream as a person sees it; flow in colours.

    Args:
        codes: uint8 [T, H, W, C] of a sample.
        modality: Which stream.
    """
    if modality == "pa":
        return codes.repeat(3, axis=-1)
    if modality != "flow":
        return codes
    flow = dequantize_flow(codes, bound_px=1.0)  # colours show the flow of the clip's own range
    longest = float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99))
    return np.stack([flow_to_color(frame, max_px=max(longest, 0.02)) for frame in flow])


def draw_rows(rows: Sequence[HeatRow], *, num_columns: int, title: str) -> Figure:
    """Return a figure: a row of pictures with their heat for each stream.

    Args:
        rows: At least one.
        num_columns: Frames of each row, spread evenly from the first to the last.
        title: Stands above.
    """
    aspect = rows[0].pictures.shape[1] / rows[0].pictures.shape[2]
    width, heading = 2.4, 0.3
    size = (width * num_columns, heading + (width * aspect + heading) * len(rows))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, parse_math=False)
    subfigures: Any = figure.subfigures(len(rows), 1, squeeze=False)
    for row, subfigure in zip(rows, subfigures[:, 0], strict=True):
        subfigure.suptitle(row.title, fontsize=9, parse_math=False)
        grid = subfigure.subplots(1, num_columns, squeeze=False)[0]
        frames = np.linspace(0, len(row.pictures) - 1, num_columns).round().astype(int)
        for axes, t in zip(grid, frames, strict=True):
            axes.imshow(overlay_heat(row.pictures[t], row.heat[t]))
            axes.set_xlabel(f"frame {t}", fontsize=7)
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def overlay_heat(picture: UInt8, heat: npt.NDArray[np.float32]) -> UInt8:
    """Return the picture with heat over it: the hotter, the less of the picture shows.

    Args:
        picture: uint8 [H, W, 3], RGB. Not modified.
        heat: float32 [H, W], 0 to 1.
    """
    colors = colormaps["jet"](heat)[..., :3] * 255
    alpha = 0.6 * np.sqrt(heat)[..., None]
    mixed: UInt8 = np.rint((1 - alpha) * picture + alpha * colors).astype(np.uint8)
    return mixed
