"""Engines on known motion, clips of flow, settings."""

import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from flow.engine import FlowConfig, FlowEngine, FlowEngineName, make_flow_engine
from flow.flo_file import decode_flo
from flow.metrics import endpoint_error, tvl1_energy
from schemas.errors import ConfigError

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
ENGINES: tuple[FlowEngineName, ...] = get_args(FlowEngineName)
PAIR_ENGINES = [name for name in ENGINES if name != "tvl1-gpu"]
"""The GPU engine has tests of its own: Triton's interpreter is slow."""


def texture(size: int = 96, seed: int = 0) -> UInt8:
    """Smooth gray texture, 0 to 255."""
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)


def shifted_pair(dx: int, dy: int) -> tuple[UInt8, UInt8]:
    """64x64 frames whose content moves by (dx, dy)."""
    wide = texture()
    return wide[16:80, 16:80].copy(), wide[16 - dy : 80 - dy, 16 - dx : 80 - dx].copy()


def flow_of(engine: FlowEngine, frame0: UInt8, frame1: UInt8) -> Float32:
    """Flow of one pair."""
    (flow,) = engine(np.stack((frame0, frame1)))
    return flow


@pytest.mark.parametrize("name", PAIR_ENGINES)
def test_no_motion_is_exactly_zero(name: FlowEngineName) -> None:
    frame = texture(64)
    flow = flow_of(make_flow_engine(name, FlowConfig()), frame, frame.copy())
    assert flow.dtype == np.float32
    assert flow.shape == (64, 64, 2)
    assert not flow.any()


@pytest.mark.parametrize("name", PAIR_ENGINES)
@pytest.mark.parametrize(("dx", "dy"), [(2, -1), (-3, 0), (0, 4)])
def test_shifted_texture_gives_its_shift(name: FlowEngineName, dx: int, dy: int) -> None:
    frame0, frame1 = shifted_pair(dx, dy)
    flow = flow_of(make_flow_engine(name, FlowConfig()), frame0, frame1)
    assert np.abs(flow[12:-12, 12:-12] - (dx, dy)).max() < 0.2


@pytest.mark.parametrize("name", PAIR_ENGINES)
def test_pair_is_not_modified_and_the_flow_is_repeatable(name: FlowEngineName) -> None:
    frame0, frame1 = shifted_pair(1, 1)
    before = frame0.copy(), frame1.copy()
    engine = make_flow_engine(name, FlowConfig())
    first = flow_of(engine, frame0, frame1).copy()
    flow_of(engine, frame1, frame0)
    np.testing.assert_array_equal(flow_of(engine, frame0, frame1), first)
    np.testing.assert_array_equal(frame0, before[0])
    np.testing.assert_array_equal(frame1, before[1])


@pytest.mark.parametrize("name", PAIR_ENGINES)
@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 16, 16)), r"^frames must be uint8 \[T, H, W\], got float64 \[2, 16, 16\]$"),
        (np.zeros((16, 16), np.uint8), r"^frames must be uint8 \[T, H, W\], got uint8 \[16, 16\]$"),
        (np.zeros((0, 16, 16), np.uint8), "^frames must have at least one frame, got 0$"),
    ],
)
def test_other_frames_are_refused(name: FlowEngineName, frames: UInt8, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_flow_engine(name, FlowConfig())(frames)


@pytest.mark.parametrize("name", PAIR_ENGINES)
def test_one_frame_has_no_pair(name: FlowEngineName) -> None:
    assert make_flow_engine(name, FlowConfig())(texture(16)[None]).shape == (0, 16, 16, 2)


@pytest.mark.parametrize("name", PAIR_ENGINES)
def test_flow_of_a_clip_is_the_flow_of_its_pairs(name: FlowEngineName) -> None:
    wide = texture()
    frames = np.stack([wide[16:80, 16 + step : 80 + step] for step in range(3)])
    engine = make_flow_engine(name, FlowConfig())
    flow = engine(frames)
    assert flow.shape == (2, 64, 64, 2)
    for index in range(2):
        expected = flow_of(engine, frames[index], frames[index + 1])
        np.testing.assert_array_equal(flow[index], expected)


def test_gpu_engine_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "flow.tvl1_gpu", None)
    with pytest.raises(ConfigError, match="run: pip install torch triton, or choose flow_engine"):
        make_flow_engine("tvl1-gpu", FlowConfig())


@pytest.mark.parametrize(("name", "side"), [("opencv", 8), ("dis", 12)])
def test_smallest_frames_have_flow_and_smaller_ones_are_refused(
    name: FlowEngineName, side: int
) -> None:
    wide = texture(32)
    frame0, frame1 = wide[:side, :side].copy(), wide[-side:, -side:].copy()
    engine = make_flow_engine(name, FlowConfig())
    flow = flow_of(engine, frame0, frame1)
    assert flow.shape == (side, side, 2)
    assert np.isfinite(flow).all()
    message = rf"^frame0 must be at least {side}x{side} pixels, got {side}x{side - 1}$"
    with pytest.raises(ValueError, match=message):
        flow_of(engine, frame0[1:], frame1[1:])


@pytest.mark.parametrize("bound", [0.0, -20.0, float("nan")])
def test_bound_of_the_configuration_must_be_positive(bound: float) -> None:
    with pytest.raises(ConfigError, match=rf"^flow\.bound_px must be > 0, got {bound}$"):
        FlowConfig(bound_px=bound)


def gray(path: Path) -> UInt8:
    image: UInt8 = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return image


@pytest.mark.slow
@pytest.mark.corpus
def test_rubber_whale_has_opencvs_published_error_and_flow(corpus: Path) -> None:
    folder = corpus / "flow"
    frames = [gray(folder / "middlebury_color" / "RubberWhale" / f"frame{i}.png") for i in (10, 11)]
    truth = decode_flo((folder / "middlebury_gt" / "flow_gt.flo").read_bytes())
    flow = flow_of(make_flow_engine("opencv", FlowConfig()), *frames)
    assert endpoint_error(flow, truth) == pytest.approx(0.156, abs=0.005)
    reference = decode_flo(
        (folder / "tvl1_reference" / "RubberWhale_opencv_tvl1_flow.flo").read_bytes()
    )
    assert endpoint_error(flow, reference) < 0.05
    assert tvl1_energy(*frames, flow) < 1.05 * tvl1_energy(*frames, reference)


@pytest.mark.corpus
def test_unknown_pixels_of_rubber_whale_do_not_count(corpus: Path) -> None:
    truth = decode_flo((corpus / "flow" / "middlebury_gt" / "flow_gt.flo").read_bytes())
    assert truth.shape == (388, 584, 2)
    unknown = (np.abs(truth) > 1e9).any(axis=-1)
    assert unknown.mean() == pytest.approx(0.016, abs=0.002)
    assert endpoint_error(np.where(unknown[..., None], np.float32(0), truth), truth) == 0.0
