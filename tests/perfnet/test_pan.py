"""PAN computes what its equations say, in the published sizes; wrong variants are found out."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from perfnet.models import pan, tsm_resnet
from perfnet.models.layers import to_channels_last
from perfnet.models.pan import (
    Pan,
    PanConfig,
    PersistenceOfAppearance,
    VariousTimescalePooling,
)
from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, make_model, paper_input_of, sampling_of
from perfnet.models.tsm_resnet import (
    Bottleneck,
    batch_as_frames,
    frames_as_batch,
    make_tsm_resnet,
    shift_frames,
)
from schemas.errors import ConfigError

GIGA = 10**9
SMALL: dict[str, Any] = {"width_multiplier": 0.125, "depth_multiplier": 0.34, "num_segments": 2}
VARIANTS = ("lite", "rgb", "pa", "full", "en")
Array = np.ndarray[Any, Any]


def _randomised(model: Any, seed: int = 0) -> Any:
    """Every weight and statistic random and large enough to matter: no part is idle."""
    rng = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3, generator=rng)
            nn.init.normal_(module.bias, std=0.2, generator=rng)
            nn.init.normal_(module.running_mean, std=0.2, generator=rng)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=rng)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=rng)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.3, generator=rng)
    return model.eval()


def _conv(images: Array, weight: Array, bias: Array | None = None, *, stride: int = 1) -> Array:
    """Convolution of [n, c, h, w] as its definition has it: a sum over places of the kernel."""
    size = weight.shape[-1]
    pad = size // 2
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = (
        (length + 2 * pad - size) // stride + 1 for length in (images.shape[2], images.shape[3])
    )
    total = np.zeros((len(images), len(weight), height, width))
    for row in range(size):
        for column in range(size):
            seen = padded[
                :,
                :,
                row : row + stride * (height - 1) + 1 : stride,
                column : column + stride * (width - 1) + 1 : stride,
            ]
            total += np.einsum("nchw,oc->nohw", seen, weight[:, :, row, column])
    return total if bias is None else total + bias[:, None, None]


def _pa_by_loops(clip: Array, weight: Array, bias: Array) -> Array:
    """[3, segments * 4, h, w] -> [3, segments, h, w], pixel by pixel."""
    maps = _conv(clip.transpose(1, 0, 2, 3), weight, bias)
    num_segments = len(maps) // 4
    result = np.zeros((3, num_segments, *clip.shape[2:]))
    for segment in range(num_segments):
        for pair in range(3):
            one, other = maps[4 * segment + pair], maps[4 * segment + pair + 1]
            for row in range(clip.shape[2]):
                for column in range(clip.shape[3]):
                    total = 0.0
                    for channel in range(8):
                        step = one[channel, row, column] - other[channel, row, column] + 1e-6
                        total += step * step
                    result[pair, segment, row, column] = math.sqrt(total)
    return result


def test_pa_is_the_distance_between_the_features_of_neighbours() -> None:
    layer = _randomised(PersistenceOfAppearance())
    clips = torch.rand(2, 3, 8, 5, 6, generator=torch.Generator().manual_seed(1))
    weight, bias = layer.conv.weight.detach().numpy(), layer.conv.bias.detach().numpy()
    with torch.no_grad():
        found = layer(clips).numpy()
    assert found.shape == (2, 3, 2, 5, 6)
    wanted = np.stack([_pa_by_loops(clip.numpy(), weight, bias) for clip in clips])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert found.std() > 0.1


@pytest.mark.parametrize("dim", [1, 3, 4])
def test_pa_over_another_axis_is_found_out(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm over pairs, rows or columns (as torch's pairwise distance has it now)."""
    layer = _randomised(PersistenceOfAppearance())
    clip = torch.rand(1, 3, 8, 8, 8)
    weight, bias = layer.conv.weight.detach().numpy(), layer.conv.bias.detach().numpy()
    wanted = _pa_by_loops(clip[0].numpy(), weight, bias)
    right = torch.linalg.vector_norm

    def wrong(values: torch.Tensor, dim_: int = dim, **_: Any) -> torch.Tensor:
        return right(values, dim=dim_, keepdim=True).expand_as(values)[:, :, 0]

    monkeypatch.setattr(torch.linalg, "vector_norm", wrong)
    with torch.no_grad():
        found = layer(clip)[0].numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() > 0.1


def test_clip_without_motion_has_no_pa_and_a_finite_gradient() -> None:
    layer = PersistenceOfAppearance()
    clip = torch.rand(1, 3, 1, 6, 6).expand(-1, -1, 4, -1, -1).clone().requires_grad_()
    maps = layer(clip)
    torch.testing.assert_close(maps, torch.full_like(maps, math.sqrt(8) * 1e-6), rtol=1e-3, atol=0)
    maps.sum().backward()
    assert clip.grad is not None
    assert clip.grad.isfinite().all()
    assert layer.conv.weight.grad.isfinite().all()


def test_pa_of_small_motion_survives_bfloat16() -> None:
    layer = _randomised(PersistenceOfAppearance())
    frame = torch.rand(1, 3, 1, 16, 16)
    clip = frame + 1e-3 * torch.arange(4).view(1, 1, 4, 1, 1)
    with torch.no_grad():
        usual = layer(clip)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(clip), usual)


def test_pa_has_the_published_size() -> None:
    assert sum(p.numel() for p in PersistenceOfAppearance().parameters()) == 1184
    with torch.device("meta"):
        found = profile_model(
            ModelConfig(name="pan_pa_r50"), num_classes=174, input_thw=(32, 224, 224)
        )
        rgb = profile_model(
            ModelConfig(name="pan_rgb_r50"), num_classes=174, input_thw=(32, 224, 224)
        )
    per_frame = (found.flops - rgb.flops) / 2 / 32
    assert per_frame / 1e6 == pytest.approx(59.0, abs=0.05)


def _vap_by_loops(head: VariousTimescalePooling, maps: Array) -> Array:
    """[channels, segments] -> logits, with the maxima written out."""
    first, _, second = head.select
    one, two = first.weight.detach().numpy(), second.weight.detach().numpy()
    num_segments, rows = maps.shape[1], []
    scale = 1
    while scale < num_segments:
        for start in range(scale):
            frames = list(range(start, num_segments, scale))
            rows.append([max(channel[frame] for frame in frames) for channel in maps])
        scale *= 2
    scores = two @ np.maximum(one @ np.array([np.mean(row) for row in rows]), 0)
    weights = np.exp(scores) / np.exp(scores).sum()
    chosen = sum(weight * np.array(row) for weight, row in zip(weights, rows, strict=True))
    weight, bias = head.linear.weight.detach().numpy(), head.linear.bias.detach().numpy()
    return weight @ chosen + bias


@pytest.mark.parametrize("num_segments", [2, 4, 8, 16])
def test_vap_is_the_weighted_sum_of_the_maxima_of_every_timescale(num_segments: int) -> None:
    head = VariousTimescalePooling(6, num_segments=num_segments, num_classes=5, dropout=0.5)
    _randomised(head)
    maps = torch.randn(3, 6, num_segments, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = head(maps).numpy()
        moved = head(maps.roll(1, dims=2).flip(2)).numpy()
    wanted = np.stack([_vap_by_loops(head, each.numpy()) for each in maps])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert found.std() > 0.1
    if num_segments > 4:  # neighbours instead of every s-th segment are another grouping
        blocks = maps.unflatten(2, (2, -1)).transpose(2, 3).flatten(2)
        with torch.no_grad():
            assert np.abs(head(blocks).numpy() - wanted).max() > 0.05
        assert np.abs(moved - wanted).max() > 0.01


def test_vap_has_the_published_parameters() -> None:
    with torch.device("meta"):
        head = VariousTimescalePooling(2048, num_segments=8, num_classes=174, dropout=0.5)
    assert sum(p.numel() for p in head.parameters()) == 356_918


def _shift_by_loops(clip: Array) -> Array:
    """[b, c, t, h, w]: every channel of every frame on its own."""
    result = np.zeros_like(clip)
    channels, frames = clip.shape[1:3]
    for channel in range(channels):
        for frame in range(frames):
            source = frame
            if channel < channels // 8:
                source = frame + 1
            elif channel < 2 * (channels // 8):
                source = frame - 1
            if 0 <= source < frames:
                result[:, channel, frame] = clip[:, channel, source]
    return result


@pytest.mark.parametrize("channels", [16, 20, 64])
def test_shift_moves_an_eighth_of_the_channels_each_way(channels: int) -> None:
    clip = torch.randn(2, channels, 4, 3, 2)
    np.testing.assert_array_equal(shift_frames(clip).numpy(), _shift_by_loops(clip.numpy()))


def test_frames_of_a_channels_last_clip_become_a_batch_without_a_copy() -> None:
    clip = torch.randn(2, 8, 4, 3, 5).contiguous(memory_format=torch.channels_last_3d)
    batch = frames_as_batch(clip)
    assert batch.data_ptr() == clip.data_ptr()
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch[5], clip[1, :, 1])
    assert torch.equal(batch_as_frames(batch, 4), clip)
    shifted = shift_frames(clip)
    assert shifted.is_contiguous(memory_format=torch.channels_last_3d)


def _norm(images: Array, norm: nn.BatchNorm2d) -> Array:
    state = {name: value.numpy()[:, None, None] for name, value in norm.state_dict().items()
             if value.ndim}  # fmt: skip
    scaled = (images - state["running_mean"]) / np.sqrt(state["running_var"] + 1e-5)
    return scaled * state["weight"] + state["bias"]


def _block_by_loops(block: Bottleneck, clip: Array) -> Array:
    """[1, c, t, h, w]: the shift in front of the first convolution, not of the shortcut."""

    def images(values: Array) -> Array:
        return values[0].transpose(1, 0, 2, 3)

    def weight(conv: nn.Module) -> Array:
        return conv.weight.detach().numpy()  # type: ignore[operator, return-value, union-attr]

    stride = block.conv_b.stride[0]
    x = np.maximum(
        _norm(_conv(images(_shift_by_loops(clip)), weight(block.conv_a)), block.norm_a), 0
    )
    x = np.maximum(_norm(_conv(x, weight(block.conv_b), stride=stride), block.norm_b), 0)
    x = _norm(_conv(x, weight(block.conv_c)), block.norm_c)
    conv, norm = block.shortcut  # type: ignore[misc]
    shortcut = _norm(_conv(images(clip), weight(conv), stride=stride), norm)
    return np.maximum(x + shortcut, 0).transpose(1, 0, 2, 3)[None]


def test_block_shifts_what_its_first_convolution_sees() -> None:
    block = _randomised(Bottleneck(16, 8, 24, stride=2, is_shifted=True))
    clip = torch.randn(1, 16, 3, 6, 6)
    wanted = _block_by_loops(block, clip.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(block(clip).numpy(), wanted, rtol=1e-4, atol=1e-5)
        block.is_shifted = False  # no shift at all
        assert np.abs(block(clip).numpy() - wanted).max() > 0.1
        moved = block(shift_frames(clip)).numpy()  # the shortcut is shifted as well
        assert np.abs(moved - wanted).max() > 0.1


@pytest.mark.parametrize(
    ("depth", "wanted"), [(50, [3, 4, 6, 3]), (101, [2, 2, 12, 2])], ids=["r50", "r101"]
)
def test_shifts_stand_in_every_block_or_in_every_second_one(depth: Any, wanted: list[int]) -> None:
    with torch.device("meta"):
        stages = make_tsm_resnet(depth, 3).stages
    shifted = [[block.is_shifted for block in stage] for stage in stages]  # type: ignore[union-attr]
    assert [sum(stage) for stage in shifted] == wanted
    assert all(stage[::2] == [True] * len(stage[::2]) for stage in shifted)


@pytest.mark.parametrize(("depth", "number"), [(50, 25_557_032), (101, 44_549_160)])
def test_trunk_has_the_parameters_of_torchvision(depth: Any, number: int) -> None:
    with torch.device("meta"):
        trunk = make_tsm_resnet(depth, 3)
    parts = [trunk.stem, *trunk.stages]
    found = sum(p.numel() for part in parts for p in part.parameters())
    assert found + 2048 * 1000 + 1000 == number


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
    model = _randomised(make_model(ModelConfig(name=f"pan_{variant}_r50", **SMALL), num_classes=4))  # type: ignore[arg-type]
    logits = model.train()(torch.rand(3, 3, 8, 32, 32))
    assert logits.shape == (3, 4)
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def _pan(variant: Any, **options: Any) -> Pan:
    made = Pan(PanConfig(num_classes=3, variant=variant, dropout=0.0, **{**SMALL, **options}))
    result: Pan = _randomised(made)
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
        motion = model.inputs[0].pa(normal)  # type: ignore[operator, union-attr]
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
    weight = laid_out.stages[1][0][0].conv_b.weight  # type: ignore[index, union-attr]
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
        return [p.grad for p in model.parameters()], model.state_dict()  # type: ignore[misc]

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
    conv = model.inputs[0].pa.conv  # type: ignore[union-attr]
    head: Any = model.head[0]
    for weight in (conv.weight, head.linear.weight, head.select[0].weight):  # type: ignore[union-attr]
        assert float(weight.detach().std()) == pytest.approx(1e-3, rel=0.15)
    assert not conv.bias.any()  # type: ignore[union-attr, operator]
    assert not head.linear.bias.any()
    conv_b: Any = model.stages[0][0][1].conv_b  # type: ignore[index, union-attr]
    fan_out = conv_b.out_channels * 9
    assert float(conv_b.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_oracle_of_the_convolution_is_sound() -> None:
    images, weight, bias = torch.randn(2, 3, 7, 6), torch.randn(4, 3, 3, 3), torch.randn(4)
    found = _conv(images.numpy(), weight.numpy(), bias.numpy(), stride=2)
    wanted = F.conv2d(images, weight, bias, stride=2, padding=1)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
