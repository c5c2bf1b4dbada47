"""Frames that a run was trained on, where it is evaluated, fine-tuned or a teacher."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perfnet.cli import main
from perfnet.evaluation.network import LookOptions, choose_view, load_network
from perfnet.models.layers import Conv3d
from perfnet.models.registry import ModelConfig
from perfnet.training.distill import DistillConfig
from perfnet.training.distill_run import DistillRunConfig, distill
from perfnet.training.fit import fit
from perfnet.training.presets import fit_config
from schemas.errors import ConfigError
from tests.perfnet.training_runs import VIEW, tiny_fit

SMALL: dict[str, Any] = {"width_multiplier": 0.125, "depth_multiplier": 0.34}
ECO = ModelConfig(name="eco_lite", **SMALL)
PAN = ModelConfig(name="pan_lite_r50", num_segments=2, **SMALL)


def _run(shards: Path, output: Path, model: ModelConfig, frames: int, segments: int) -> Path:
    view = replace(VIEW, num_frames=frames, num_segments=segments)
    changes: dict[str, Any] = {"view": view, "eval_view": replace(view, is_random=False)}
    return fit(tiny_fit(shards, output, model=model, steps=1, modality="pose", **changes))


@pytest.fixture(scope="module")
def eco(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that saw one frame of each of 4 segments."""
    return _run(shards, tmp_path_factory.mktemp("eco"), ECO, 4, 4)


@pytest.fixture(scope="module")
def pan(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that saw 4 frames of each of 2 segments."""
    return _run(shards, tmp_path_factory.mktemp("pan"), PAN, 8, 2)


def test_one_frame_of_each_segment_stays_one_in_another_number(eco: Path) -> None:
    view = choose_view(load_network(eco), LookOptions(input=(12, 32, 32)))
    assert (view.num_frames, view.num_segments) == (12, 12)


def test_segments_of_a_network_stay_as_they_are(pan: Path) -> None:
    network = load_network(pan)
    for options in (LookOptions(input=(12, 32, 32)), LookOptions(input=(9, 32, 32))):
        with pytest.raises(ConfigError, match=r"say --input 8 32 32$"):
            choose_view(network, options)
    assert choose_view(network, LookOptions(input=(8, 40, 40))).num_segments == 2


@pytest.mark.parametrize("name", ["eco", "pan"])
def test_fine_tuning_samples_like_the_run_that_it_starts_from(
    name: str, shards: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    start: Path = request.getfixturevalue(name)
    config = fit_config("finetune-ucf101", shards=shards, output=tmp_path, init=start)
    expected = {"eco": (4, 4), "pan": (8, 2)}[name]
    for view in (config.view, config.eval_view):
        assert (view.num_frames, view.num_segments, view.width) == (*expected, 298)


def test_pas_net_looks_at_the_stream_of_the_run_that_it_starts_from(
    eco: Path, shards: Path, tmp_path: Path
) -> None:
    config = fit_config("pas-net", shards=shards, output=tmp_path, init=eco)
    assert (config.modality, config.model.name) == ("pose", "pas_net")


def test_teacher_of_other_frames_is_named(
    eco: Path, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="perfnet_train")
    segmented = replace(VIEW, num_segments=4)
    for view, is_named in ((VIEW, True), (segmented, False)):
        caplog.clear()
        output = tmp_path / str(is_named)
        config = tiny_fit(shards, output, steps=1, view=view)
        distill(DistillRunConfig(fit=config, distill=DistillConfig(teachers=(eco,))))
        text = f"teacher {eco} was trained on 4 segments and looks at consecutive frames here"
        assert (text in caplog.text) == is_named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pan_lite_r50", "--input", "16", "64", "64"], "must have 32 frames for pan_lite_r50, 4 "),
        (["pan_rgb_r50", "--input", "12", "64", "64"], "say --input 8 64 64"),
        (["pas_net", "--input", "16", "4", "4"], "must have a height and width >= 8 for pas_net"),
    ],
)
def test_profile_of_other_frames_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("num_frames", [2, 3])
def test_bfloat16_gives_temporal_convolutions_the_gradient_of_float32(num_frames: int) -> None:
    gradients = []
    for is_bf16 in (False, True):
        torch.manual_seed(0)
        conv = Conv3d(32, 32, (3, 3, 3))
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            output = conv(torch.randn(2, 32, num_frames, 6, 6))
        output.float().square().mean().backward()
        assert conv.weight.grad is not None
        gradients.append(conv.weight.grad)
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[0].norm()
