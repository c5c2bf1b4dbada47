"""PAS-Net and ECO-Lite train, go on, are distilled and looked at like every other network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from perfnet.cli import main
from perfnet.models.fusion import FusionName, PasNetOptions
from perfnet.models.registry import ModelConfig
from perfnet.training import foreign_weights
from perfnet.training.checkpoint import Checkpoint, load_checkpoint, restore_model
from perfnet.training.distill import DistillConfig
from perfnet.training.distill_run import DistillRunConfig, distill
from perfnet.training.fit import fit
from schemas.errors import ConfigError
from tests.perfnet.test_eco import caffe_weights
from tests.perfnet.test_openpose import body_weights
from tests.perfnet.training_runs import TINY_R3D, assert_same_weights, run, tiny_fit

SMALL: dict[str, Any] = {"width_multiplier": 0.125, "depth_multiplier": 0.34}
ECO = ModelConfig(name="eco_lite", **SMALL)
PAS = ModelConfig(name="pas_net", **SMALL)
WHOLE = {"width_multiplier": 0.125}
"""All blocks and stages, as weights of other codes have them."""


def _pas(fusion: FusionName, **options: Any) -> ModelConfig:
    return replace(PAS, pas_net=PasNetOptions(fusion=fusion, **options))


@pytest.mark.parametrize("model", [ECO, PAS], ids=lambda model: model.name)
def test_interrupted_run_goes_on_exactly(model: ModelConfig, shards: Path, tmp_path: Path) -> None:
    whole, recorded = run(tiny_fit(shards, tmp_path / "whole", model=model, steps=3))
    assert all(loss > 0 for loss in recorded.losses)
    stopped = tiny_fit(shards, tmp_path / "part", model=model, steps=3)
    run(stopped)
    (tmp_path / "part" / "checkpoints" / "step-00000003.pt").unlink()
    again, _ = run(stopped)
    assert_same_weights(whole, again)
    first = load_checkpoint(tmp_path / "part" / "checkpoints" / "step-00000002.pt")
    assert any(not torch.equal(first.weights[name], again.weights[name]) for name in first.weights)


def test_frozen_body_stays_as_it_was_and_the_rest_does_not(shards: Path, tmp_path: Path) -> None:
    model = _pas("a_plus_i_f", freeze_body=True)
    config = tiny_fit(shards, tmp_path, model=model, keep_checkpoints=9, checkpoint_every=1)
    last, _ = run(config)
    first = load_checkpoint(tmp_path / "checkpoints" / "step-00000001.pt")
    same = {name for name, value in last.weights.items() if torch.equal(value, first.weights[name])}
    assert same == {name for name in last.weights if name.startswith("body.")}


def test_pas_net_is_a_student_and_a_teacher(shards: Path, tmp_path: Path) -> None:
    """Of R3D50-G and the other way round; a teacher stays as it was."""
    models = {"pas": PAS, "r3d": TINY_R3D, "eco": ECO}
    teachers = {
        name: fit(tiny_fit(shards, tmp_path / name, model=model, steps=2, modality="pose"))
        for name, model in models.items()
    }
    before = {name: path.read_bytes() for name, path in teachers.items()}
    for student, taught_by in (("pas", ("r3d", "eco")), ("r3d", ("pas",))):
        config = tiny_fit(shards, tmp_path / f"student-{student}", model=models[student], steps=2)
        teaching = DistillConfig(teachers=tuple(teachers[name] for name in taught_by))
        done = distill(DistillRunConfig(fit=config, distill=teaching))
        assert load_checkpoint(done).card.modality == "rgb"
    assert before == {name: path.read_bytes() for name, path in teachers.items()}


def test_checkpoint_is_evaluated_fused_and_drawn(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in (ECO, PAS):
        checkpoint = fit(tiny_fit(shards, tmp_path / model.name, model=model, steps=1))
        common = ["--shards", str(shards), "--workers", "0"]
        out = ["--output", str(tmp_path / f"{model.name}-result")]
        assert main(["evaluate", "--checkpoint", str(checkpoint), *common, *out]) == 0
    both = [str(tmp_path / f"{name}-result") for name in ("eco_lite", "pas_net")]
    assert main(["fuse", *both, "--output", str(tmp_path / "fused")]) == 0
    picture = tmp_path / "heat.png"
    runs = [str(tmp_path / name) for name in ("eco_lite", "pas_net")]
    drawn = ["--shards", str(shards), "--output", str(picture)]
    assert main(["gradcam", "--checkpoint", *runs, *drawn]) == 0
    assert cv2.imread(str(picture)).std() > 5
    wrong = ["--input", "6", "32", "32", "--output", str(tmp_path / "none")]
    assert main(["evaluate", "--checkpoint", runs[1], *common, *wrong]) == 2
    assert (
        "input must have a number of frames that is a multiple of 4 for pas_net, got 6"
        in capsys.readouterr().err
    )


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files with the weights of both other codes, an eighth as wide."""
    folder = tmp_path_factory.mktemp("public")
    eco = {f"module.base_model.{name}": value for name, value in caffe_weights().items()}
    torch.save({"epoch": 3, "state_dict": eco}, folder / "eco.pth.tar")
    torch.save(body_weights(), folder / "body.pth")
    return {"eco": folder / "eco.pth.tar", "body": folder / "body.pth"}


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the public ECO for one of an eighth of the channels."""
    narrow = ModelConfig(name="eco_lite", **WHOLE)  # type: ignore[arg-type]
    monkeypatch.setitem(foreign_weights._MODELS, "eco_lite", narrow)


def _started(config: Any) -> Checkpoint:
    """A run whose one step has a learning rate that changes nothing."""
    schedule = replace(config.schedule, steps=1, learning_rate=1e-30)
    return load_checkpoint(fit(replace(config, schedule=schedule)))


def _weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Without the statistics of batch norms, which a forward pass changes."""
    return {n: v for n, v in checkpoint.weights.items() if "running" not in n and "num_b" not in n}


@pytest.mark.usefixtures("_narrow")
def test_fine_tuning_twice_carries_all_weights(
    public: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    """ECO from its public weights, then PAS-Net from that run and OpenPose's public weights."""
    eco, pas = (ModelConfig(name=name, **WHOLE) for name in ("eco_lite", "pas_net"))  # type: ignore[arg-type]
    first = load_checkpoint(
        fit(tiny_fit(shards, tmp_path / "eco", model=eco, steps=2, init_weights=public["eco"]))
    )
    own, kinetics = "appearance.conv1.conv.weight", caffe_weights()["conv1_7x7_s2.weight"]
    assert not torch.equal(first.weights[own], kinetics)  # trained
    untrained = tiny_fit(shards, tmp_path / "untrained", model=eco, init_weights=public["eco"])
    assert torch.equal(_started(untrained).weights[own], kinetics)
    config = tiny_fit(shards, tmp_path / "pas", model=pas)
    config = replace(config, init=tmp_path / "eco", init_body=public["body"])
    found = _weights(_started(config))
    assert all(torch.equal(value, found[name]) for name, value in _weights(first).items())
    others = {name: value for name, value in found.items() if name not in first.weights}
    of_body = body_weights()
    for name, value in others.items():
        assert torch.equal(value, of_body[".".join(name.split(".")[-2:])]), name
    silent = replace(config, output=tmp_path / "silent", model=replace(
        pas, pas_net=PasNetOptions(lambda3=0.0, lambda4=0.0)
    ))  # fmt: skip
    start = _started(silent)
    clip = torch.rand(1, 3, 8, 32, 32)
    with torch.no_grad():
        logits = restore_model(replace(start, weights={**start.weights, **first.weights}))(clip)
        assert torch.equal(logits, restore_model(first)(clip))


@pytest.mark.usefixtures("_narrow")
def test_conventional_fine_tuning_starts_from_both_public_files(
    public: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    pas = ModelConfig(name="pas_net", pas_net=PasNetOptions(fusion="conv_a_ea"), **WHOLE)  # type: ignore[arg-type]
    config = tiny_fit(shards, tmp_path, model=pas, init_weights=public["eco"])
    found = _started(replace(config, init_body=public["body"])).weights
    kinetics = caffe_weights()
    assert torch.equal(found["stages.1.0.shortcut.bias"], kinetics["res4a_down.bias"])
    joints = body_weights()["Mconv7_stage6_L2.weight"]
    assert torch.equal(found["body.last.heat.maps.Mconv7_stage6_L2.weight"], joints)
    assert not any("stage6_L1" in name for name in found)


@pytest.mark.usefixtures("_narrow")
def test_start_that_does_not_fit_is_one_line(
    public: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    def refused(message: str, **changes: Any) -> None:
        with pytest.raises(ConfigError, match=message) as error:
            fit(tiny_fit(shards, tmp_path / "out", **changes))
        assert "\n" not in str(error.value)

    whole = ModelConfig(name="pas_net", **WHOLE)  # type: ignore[arg-type]
    body, eco = public["body"], public["eco"]
    refused("say --model.name pas_net --init-body .*body.pth", model=whole, init_weights=body)
    refused(
        "init_body: weights must be those of openpose_body, got those of eco_lite; in .*eco.pth",
        model=whole, init_body=eco,
    )  # fmt: skip
    refused(
        r"init_body: weights must be those of openpose_body, got \d+ faults: Mconv1_stage3_L1",
        model=PAS, init_body=body,
    )  # fmt: skip
    refused("init_body must be a .npz file or a state dict, got no file", model=whole,
            init_body=tmp_path / "none")  # fmt: skip
    refused("init_body must be left out unless model.name=pas_net", model=ECO, init_body=body)
    refused("init_body must be left out unless", model=_pas("a"), init_body=body)
    refused("beside init, got .*eco.pth.tar; say --init-body for weights of OpenPose$",
            model=whole, init=tmp_path, init_weights=eco)  # fmt: skip
    run(tiny_fit(shards, tmp_path / "eco", model=ECO, steps=1))
    run(tiny_fit(shards, tmp_path / "r3d", steps=1))
    wide = replace(PAS, width_multiplier=0.25)
    refused("differs in model.width_multiplier; say --model.width-multiplier 0.125$",
            model=wide, init=tmp_path / "eco")  # fmt: skip
    refused("differs in model.name", model=PAS, init=tmp_path / "r3d")
    run(tiny_fit(shards, tmp_path / "pas", model=PAS, steps=1))
    refused("differs in model.name", model=ECO, init=tmp_path / "pas")
    run(tiny_fit(shards, tmp_path / "ea", model=_pas("ea", heat_relu=True), steps=1))
    refused(
        "differs in model.pas_net.heat_relu; say --model.pas-net.heat-relu$",
        model=_pas("ea"), init=tmp_path / "ea",
    )  # fmt: skip
    refused(
        "differs in model.pas_net.fusion; say --model.pas-net.fusion a_plus_i_f$",
        model=_pas("conv_a_i"), init=tmp_path / "pas",
    )  # fmt: skip


def test_body_alone_takes_the_head_of_eco(shards: Path, tmp_path: Path) -> None:
    first, _ = run(tiny_fit(shards, tmp_path / "eco", model=ECO, steps=1))
    config = tiny_fit(shards, tmp_path / "pas", model=_pas("i"), init=tmp_path / "eco")
    found = _started(config).weights
    assert torch.equal(found["stages.0.0.weight"], first.weights["stages.0.0.weight"])
    assert not any(name.startswith("appearance.") for name in found)


def test_input_that_a_network_cannot_take_is_refused_before_anything_is_read(
    shards: Path, tmp_path: Path
) -> None:
    config = tiny_fit(shards, tmp_path, model=PAS)
    view, eval_view = config.view, config.eval_view
    for changes, message in (
        ({"modality": "flow"}, "modality must be rgb or pose for pas_net, got flow"),
        ({"modality": "flow", "model": ECO}, "modality must be rgb or pose for eco_lite, got flow"),
        (
            {"view": replace(view, num_frames=6)},
            "^view must have a number of frames that is a multiple of 4 for pas_net, got 6",
        ),
        (
            {"eval_view": replace(eval_view, width=47)},
            "eval_view must have a width that is a multiple of 2 for pas_net, got 47",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(config, **changes)  # type: ignore[arg-type]


def test_pas_net_trains_on_generated_clips(tmp_path: Path) -> None:
    """One frame of each of four segments of moving figures, from ECO-Lite of the same."""
    sizes = ["--train-per-class", "2", "--val-per-class", "1", "--test-per-class", "1"]
    assert main(["toy", "-o", str(tmp_path / "toy"), *sizes]) == 0
    small = [
        *("--shards", str(tmp_path / "toy" / "train"), "--batch-size", "2", "--workers", "0"),
        *("--val-shards", str(tmp_path / "toy" / "val")),
        *("--model.width-multiplier", "0.125", "--model.depth-multiplier", "0.34"),
        *("--schedule.steps", "2", "--schedule.warmup-steps", "0"),
        *("--schedule.learning-rate", "0.001", "--output"),
    ]
    for name in ("view", "eval-view"):
        small[:0] = [f"--{name}.num-frames", "4", f"--{name}.num-segments", "4"]
        small[:0] = [f"--{name}.height", "32", f"--{name}.width", "32"]
    eco, pas = str(tmp_path / "eco"), str(tmp_path / "pas")
    assert main(["fit", "--model.name", "eco_lite", *small, eco]) == 0
    assert main(["fit", "--model.name", "pas_net", "--init", eco, *small, pas]) == 0
    assert load_checkpoint(tmp_path / "pas").training["step"] == 2
