"""Engines on known motion, clips of flow, settings."""

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from flow.engine import FlowConfig, FlowEngineName, clip_flow, make_flow_engine
from flow.flo_file import decode_flo
from flow.metrics import endpoint_error, tvl1_energy
from flow.tvl1 import Tvl1Config
from schemas.errors import ConfigError

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
ENGINES: tuple[FlowEngineName, ...] = get_args(FlowEngineName)


def texture(size: int = 96, seed: int = 0) -> UInt8:
    """Smooth gray texture, 0 to 255."""
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)


def shifted_pair(dx: int, dy: int) -> tuple[UInt8, UInt8]:
    """64x64 frames whose content moves by (dx, dy)."""
    wide = texture()
    return wide[16:80, 16:80].copy(), wide[16 - dy : 80 - dy, 16 - dx : 80 - dx].copy()


def count_up(frame0: UInt8, frame1: UInt8) -> Float32:
    """A stand-in engine: dx = grey value of frame0, dy = that of frame1."""
    return np.dstack((frame0, frame1)).astype(np.float32)


@pytest.mark.parametrize("name", ENGINES)
def test_no_motion_is_exactly_zero(name: FlowEngineName) -> None:
    frame = texture(64)
    flow = make_flow_engine(name, FlowConfig())(frame, frame.copy())
    assert flow.dtype == np.float32
    assert flow.shape == (64, 64, 2)
    assert not flow.any()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("dx", "dy"), [(2, -1), (-3, 0), (0, 4)])
def test_shifted_texture_gives_its_shift(name: FlowEngineName, dx: int, dy: int) -> None:
    frame0, frame1 = shifted_pair(dx, dy)
    flow = make_flow_engine(name, FlowConfig())(frame0, frame1)
    assert np.abs(flow[12:-12, 12:-12] - (dx, dy)).max() < 0.2


@pytest.mark.parametrize("name", ENGINES)
def test_pair_is_not_modified_and_the_flow_is_repeatable(name: FlowEngineName) -> None:
    frame0, frame1 = shifted_pair(1, 1)
    before = frame0.copy(), frame1.copy()
    engine = make_flow_engine(name, FlowConfig())
    first = engine(frame0, frame1).copy()
    engine(frame1, frame0)
    np.testing.assert_array_equal(engine(frame0, frame1), first)
    np.testing.assert_array_equal(frame0, before[0])
    np.testing.assert_array_equal(frame1, before[1])


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("frame0", "frame1", "message"),
    [
        (np.zeros((8, 7)), np.zeros((8, 7)), r"^frame0 must be uint8 \[H, W\], got float64"),
        (
            np.zeros((12, 13), np.uint8),
            np.zeros((13, 12), np.uint8),
            r"^frame1 must be uint8 \[H, W\] with H=12, W=13, got uint8 \[13, 12\]$",
        ),
    ],
)
def test_other_frames_are_refused(
    name: FlowEngineName, frame0: UInt8, frame1: UInt8, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_flow_engine(name, FlowConfig())(frame0, frame1)


@pytest.mark.parametrize(("name", "side"), [("opencv", 8), ("dis", 12)])
def test_smallest_frames_have_flow_and_smaller_ones_are_refused(
    name: FlowEngineName, side: int
) -> None:
    wide = texture(32)
    frame0, frame1 = wide[:side, :side].copy(), wide[-side:, -side:].copy()
    engine = make_flow_engine(name, FlowConfig())
    flow = engine(frame0, frame1)
    assert flow.shape == (side, side, 2)
    assert np.isfinite(flow).all()
    message = rf"^frame0 must be at least {side}x{side} pixels, got {side}x{side - 1}$"
    with pytest.raises(ValueError, match=message):
        engine(frame0[1:].copy(), frame1[1:].copy())


def test_clip_has_as_many_fields_as_frames() -> None:
    frames = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)
    flow = clip_flow(frames, engine=count_up)
    assert flow.dtype == np.float32
    assert flow.shape == (4, 2, 3, 2)
    assert flow[:, 0, 0].tolist() == [[0, 1], [1, 2], [2, 3], [2, 3]]


def test_last_flow_repeats_its_predecessor() -> None:
    flow = clip_flow(np.zeros((2, 2, 2), np.uint8) + np.uint8([[[1]], [[5]]]), engine=count_up)
    np.testing.assert_array_equal(flow[1], flow[0])
    assert flow[0, 0, 0].tolist() == [1, 5]


def test_single_frame_has_zero_flow() -> None:
    flow = clip_flow(np.full((1, 2, 3), 9, np.uint8), engine=count_up)
    assert flow.shape == (1, 2, 3, 2)
    assert not flow.any()


def test_clip_is_not_modified() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    before = frames.copy()
    clip_flow(frames, engine=make_flow_engine("dis", FlowConfig()))
    np.testing.assert_array_equal(frames, before)


def test_empty_clip_is_refused() -> None:
    message = r"^frames_gray must have at least one frame, got 0$"
    with pytest.raises(ValueError, match=message):
        clip_flow(np.zeros((0, 8, 8), np.uint8), engine=count_up)


def test_colour_clip_is_refused() -> None:
    message = r"^frames_gray must be uint8 \[T, H, W\], got uint8 \[1, 8, 8, 3\]$"
    with pytest.raises(ValueError, match=message):
        clip_flow(np.zeros((1, 8, 8, 3), np.uint8), engine=count_up)


def test_defaults_are_opencvs() -> None:
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    config = Tvl1Config()
    assert (solver.getTau(), solver.getLambda(), solver.getTheta()) == (
        config.time_step,
        config.attachment,
        config.tightness,
    )
    assert (solver.getScalesNumber(), solver.getScaleStep(), solver.getWarpingsNumber()) == (
        config.num_scales,
        config.scale_step,
        config.num_warps,
    )
    assert (solver.getOuterIterations(), solver.getInnerIterations()) == (
        config.num_outer,
        config.num_inner,
    )
    assert (solver.getEpsilon(), solver.getMedianFiltering()) == (config.epsilon, config.median_px)


def test_settings_reach_the_solver() -> None:
    frame0, frame1 = shifted_pair(2, -1)
    default = make_flow_engine("opencv", FlowConfig())(frame0, frame1)
    for change in (
        Tvl1Config(time_step=0.1),
        Tvl1Config(attachment=0.05),
        Tvl1Config(tightness=0.1),
        Tvl1Config(num_scales=1),
        Tvl1Config(scale_step=0.5),
        Tvl1Config(num_warps=1),
        Tvl1Config(num_outer=1),
        Tvl1Config(num_inner=2),
        Tvl1Config(epsilon=0.5),
        Tvl1Config(median_px=1),
    ):
        flow = make_flow_engine("opencv", FlowConfig(tvl1=change))(frame0, frame1)
        assert not np.array_equal(flow, default), change


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("time_step", 0.26, "time_step must be > 0 and <= 0.25, got 0.26"),
        ("time_step", 0.0, "time_step must be > 0 and <= 0.25, got 0.0"),
        ("scale_step", 1.0, "scale_step must be > 0 and < 1, got 1.0"),
        ("scale_step", 0.0, "scale_step must be > 0 and < 1, got 0.0"),
        ("median_px", 7, "median_px must be 1, 3 or 5, got 7"),
        ("attachment", 0.0, "attachment must be > 0, got 0.0"),
        ("tightness", -1.0, "tightness must be > 0, got -1.0"),
        ("epsilon", float("nan"), "epsilon must be > 0, got nan"),
        ("num_scales", 0, "num_scales must be >= 1, got 0"),
        ("num_warps", 0, "num_warps must be >= 1, got 0"),
        ("num_outer", 0, "num_outer must be >= 1, got 0"),
        ("num_inner", 0, "num_inner must be >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Tvl1Config(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == message


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
    flow = make_flow_engine("opencv", FlowConfig())(*frames)
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
