"""PAN has the published sizes, and every branch sees what it should."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from perfnet.models import pan, tsm_resnet
from perfnet.models.layers import to_channels_last
from perfnet.models.pan import Pan, PanConfig, PersistenceOfAppearance
from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, make_model, paper_input_of, sampling_of
from perfnet.models.tsm_resnet import make_tsm_resnet, shift_frames
from schemas.errors import ConfigError
from tests.perfnet.random_weights import randomised

GIGA = 10**9
SMALL: dict[str, Any] = {"width_multiplier": 0.125, "depth_multiplier": 0.34, "num_segments": 2}
VARIANTS = ("lite", "rgb", "pa", "full", "en")


@pytest.mark.parametrize(("depth", "number"), [(50, 25_557_032), (101, 44_549_160)])
def test_trunk_has_the_parameters_of_torchvision(depth: Any, number: int) -> None:
    with torch.device("meta"):
        trunk = make_tsm_resnet(depth, 3)
    parts = [trunk.stem, *trunk.stages]
    found = sum(p.numel() for part in parts for p in part.parameters())
    assert found + 2048 * 1000 + 1000 == number


def test_pa_has_the_published_size() -> None:
    assert sum(p.numel() for p in PersistenceOfAppearance().parameters()) == 1184
    flops = [
        profile_model(ModelConfig(name=name), num_classes=174, input_thw=(32, 224, 224)).flops
        for name in ("pan_pa_r50", "pan_rgb_r50")
    ]
    per_frame = (flops[0] - flops[1]) / 2 / 32
    assert per_frame / 1e6 == pytest.approx(59.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "size", "parameters", "gmac"),
    [
        ("pan_lite_r50", 224, 23_875_542, 35.53),
        ("pan_full_r50", 224, 47_731_084, 67.28),
        ("pan_lite_r50", 256, 23_875_542, 46.41),
        ("pan_full_r50", 256, 47_731_084, 87.88),
        ("pan_lite_r101", 256, None, 85.19),
        ("pan_full_r101", 256, None, 165.46),
        ("pan_en_r50", 256, None, 46.41 + 87.88),
        ("pan_en_r101", 256, None, 85.19 + 165.46),
    ],
)
def test_pan_has_the_published_sizes(
    name: Any, size: int, parameters: int | None, gmac: float
) -> None:
    found = profile_model(ModelConfig(name=name), num_classes=174, input_thw=(32, size, size))
    assert found.flops / 2 / GIGA == pytest.approx(gmac, rel=2e-4)
    if parameters is not None:
        assert found.num_parameters == parameters


@pytest.mark.parametrize(
    ("name", "gmac"),
    [
        ("pan_lite_r50", 35.7),
        ("pan_full_r50", 67.7),
    ],
)
def test_pan_is_within_a_hundredth_of_what_its_authors_count(name: Any, gmac: float) -> None:
    found = profile_model(ModelConfig(name=name), num_classes=174, input_thw=paper_input_of(name))
    assert found.flops / 2 / GIGA == pytest.approx(gmac, rel=0.01)


@pytest.mark.parametrize("variant", VARIANTS)
def test_small_pans_give_different_logits_for_different_clips(variant: str) -> None:
    torch.manual_seed(0)
    model = randomised(make_model(ModelConfig(name=f"pan_{variant}_r50", **SMALL), num_classes=4))
    logits = model.train()(torch.rand(3, 3, 8, 32, 32))
    assert logits.shape == (3, 4)
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def _pan(variant: Any, **options: Any) -> Pan:
    made = Pan(PanConfig(num_classes=3, variant=variant, dropout=0.0, **{**SMALL, **options}))
    result: Pan = randomised(made)
    return result


def test_lite_sees_the_first_frame_of_each_segment_and_its_motion() -> None:
    """The input of the trunk by hand: ImageNet's mean and deviation, then frames and PA maps."""
    model = _pan("lite")
    clip = torch.rand(2, 3, 8, 32, 32)
    seen = []
    model.stem.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(clip)
        mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None, None]
        std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None, None]
        normal = torch.from_numpy((clip.numpy() - mean) / std)
        motion = model.inputs[0].pa(normal)
    (found,) = seen
    assert found.shape == (2, 6, 2, 32, 32)
    torch.testing.assert_close(found[:, :3], normal[:, :, [0, 4]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[:, 3:], motion)


def test_rgb_is_blind_to_all_but_the_first_frames_and_pa_to_colours_without_motion() -> None:
    rgb, pa = _pan("rgb"), _pan("pa")
    clip, other = torch.rand(1, 3, 8, 32, 32), torch.rand(1, 3, 8, 32, 32)
    other[:, :, [0, 4]] = clip[:, :, [0, 4]]
    brighter = clip + 0.1  # the same steps between neighbours, away from the border
    with torch.no_grad():
        assert torch.equal(rgb(clip), rgb(other))
        assert torch.equal(rgb(clip), rgb(clip[:, :, [0, 4]]))  # one frame of each segment will do
        assert not torch.equal(pa(clip), pa(other))
        steps, same = (pa.inputs[0](each) for each in (clip, brighter))
        torch.testing.assert_close(steps, same, atol=1e-3, rtol=1e-3)
        assert not torch.equal(rgb(clip), rgb(brighter))


@pytest.mark.parametrize("variant", ["full", "en"])
def test_branches_side_by_side_are_the_sum_of_single_networks(variant: Any) -> None:
    whole = _pan(variant)
    clip = torch.rand(2, 3, 8, 32, 32)
    total = torch.zeros(2, 3)
    for place, branch in enumerate(pan.BRANCHES[variant]):
        single = _pan(branch)
        state = {}
        for name in single.state_dict():
            parts = name.split(".")
            at = 2 if parts[0] == "stages" else 1
            state[name] = whole.state_dict()[".".join((*parts[:at], str(place), *parts[at + 1 :]))]
        single.load_state_dict(state)
        with torch.no_grad():
            total += single(clip)
    with torch.no_grad():
        torch.testing.assert_close(whole(clip), total, atol=1e-4, rtol=1e-4)


def test_layout_changes_nothing_and_reaches_the_weights() -> None:
    model, laid_out = _pan("en"), _pan("en")
    to_channels_last(laid_out)
    weight = laid_out.stages[1][0][0].conv_b.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    clip = torch.rand(1, 3, 8, 32, 32)
    with torch.no_grad():
        usual = model(clip)
        found = laid_out(clip.contiguous(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(found, usual, atol=1e-4, rtol=1e-4)


def test_saving_memory_changes_nothing_in_a_pan() -> None:
    def train(*, saves_memory: bool) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        model = Pan(PanConfig(num_classes=3, variant="full", dropout=0.0, **SMALL))
        model.saves_memory = saves_memory
        for _ in range(2):
            model(torch.rand(2, 3, 8, 32, 32)).square().sum().backward()
        return [p.grad for p in model.parameters()], model.state_dict()

    plain, saving = train(saves_memory=False), train(saves_memory=True)
    assert all(torch.equal(a, b) for a, b in zip(plain[0], saving[0], strict=True))
    assert all(torch.equal(plain[1][key], saving[1][key]) for key in plain[1])


def test_removed_or_moved_shift_gives_other_features(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clip = _pan("rgb"), torch.rand(1, 3, 8, 32, 32)
    with torch.no_grad():
        right = model.features(clip)
        for wrong in (
            lambda x: x,
            lambda x: shift_frames(x.flip(2)).flip(2),  # the other way round in time
            lambda x: shift_frames(x.flip(1)).flip(1),  # the last channels instead of the first
        ):
            monkeypatch.setattr(tsm_resnet, "shift_frames", wrong)
            assert (model.features(clip) - right).norm() > 0.05 * right.norm()
            monkeypatch.undo()


def test_input_of_a_network_is_that_of_its_paper() -> None:
    assert paper_input_of("pan_lite_r50") == (32, 224, 224)
    assert paper_input_of("pan_rgb_r101") == (8, 224, 224)
    assert paper_input_of("pan_en_r50") == (32, 256, 256)
    assert paper_input_of("r3d50g") == (250, 256, 256)
    assert sampling_of(ModelConfig(name="pan_lite_r50")) == (8, 4)
    assert sampling_of(ModelConfig(name="pan_rgb_r50", num_segments=4)) == (4, None)
    assert sampling_of(ModelConfig(name="s3dg")) is None


def test_number_of_segments_belongs_to_what_a_network_is() -> None:
    eight = ModelConfig(name="pan_lite_r50", num_segments=8)
    assert ModelConfig(name="pan_lite_r50").differences(eight) == {}
    four = ModelConfig(name="pan_lite_r50", num_segments=4)
    assert four.differences(eight) == {"num_segments": 4}


def test_clip_of_other_frames_is_a_bug() -> None:
    with pytest.raises(ValueError, match="clip must have 4 frames of 2 segments, got 6"):
        _pan("lite")(torch.rand(1, 3, 6, 32, 32))
    with pytest.raises(ValueError, match="of 2 segments, got 5"):
        _pan("rgb")(torch.rand(1, 3, 5, 32, 32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PanConfig(num_classes=2, num_segments=6),
            "num_segments must be a power of two and >= 2, got 6",
        ),
        (lambda: PanConfig(num_classes=2, num_segments=1), "power of two and >= 2, got 1"),
        (lambda: PanConfig(num_classes=0), "num_classes must be >= 1, got 0"),
        (
            lambda: make_model(ModelConfig(name="pan_lite_r50"), num_classes=2, in_channels=2),
            r"pan_lite must look at a stream of 3 channels \(rgb or pose\), got 2; of the PAN",
        ),
        (
            lambda: ModelConfig(name="s3dg", num_segments=8),
            r"model.num_segments must be left out unless model.name=pan_\*, got 8 with s3dg",
        ),
        (
            lambda: ModelConfig(name="pan_pa_r50", padding="symmetric"),
            "model.padding must be left out unless model.name=r3d50g, got symmetric with pan_pa",
        ),
    ],
)
def test_impossible_pan_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_rgb_branch_takes_flow_as_it_is() -> None:
    model = _pan("rgb", in_channels=2)
    seen = []
    model.stem.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    flow = torch.rand(1, 2, 8, 32, 32) * 2 - 1
    with torch.no_grad():
        model(flow)
    assert torch.equal(seen[0], flow[:, :, [0, 4]])


def test_weights_that_learn_faster_are_those_of_pa_and_of_the_last_layers() -> None:
    model = _pan("en")
    factors = {name: model.rate_factor(name) for name, _ in model.named_parameters()}
    fast = {name: factor for name, factor in factors.items() if factor != 1}
    wanted = {f"head.{n}.{layer}.weight": 5.0 for n in range(3)
              for layer in ("select.0", "select.2", "linear")}  # fmt: skip
    wanted |= {f"head.{n}.linear.bias": 10.0 for n in range(3)}
    for branch in (0, 2):  # lite and pa
        wanted |= {f"inputs.{branch}.pa.conv.weight": 5.0, f"inputs.{branch}.pa.conv.bias": 10.0}
    assert fast == wanted


def test_new_weights_are_those_of_the_authors() -> None:
    torch.manual_seed(0)
    model = Pan(PanConfig(num_classes=174, variant="lite", width_multiplier=0.5))
    conv = model.inputs[0].pa.conv
    head: Any = model.head[0]
    for weight in (conv.weight, head.linear.weight, head.select[0].weight):
        assert float(weight.detach().std()) == pytest.approx(1e-3, rel=0.15)
    assert not conv.bias.any()
    assert not head.linear.bias.any()
    conv_b: Any = model.stages[0][0][1].conv_b
    fan_out = conv_b.out_channels * 9
    assert float(conv_b.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
