"""The pieces of PAN compute what their equations say; wrong variants are found out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from perfnet.models.layers import batch_as_frames, frames_as_batch
from perfnet.models.pan import PersistenceOfAppearance, VariousTimescalePooling
from perfnet.models.tsm_resnet import (
    Bottleneck,
    make_tsm_resnet,
    shift_frames,
)
from tests.perfnet.random_weights import randomised

Array = np.ndarray[Any, Any]


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
    layer = randomised(PersistenceOfAppearance())
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
    layer = randomised(PersistenceOfAppearance())
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
    layer = randomised(PersistenceOfAppearance())
    frame = torch.rand(1, 3, 1, 16, 16)
    clip = frame + 1e-3 * torch.arange(4).view(1, 1, 4, 1, 1)
    with torch.no_grad():
        usual = layer(clip)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(clip), usual)


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
    randomised(head)
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
        return conv.weight.detach().numpy()

    stride = block.conv_b.stride[0]
    x = np.maximum(
        _norm(_conv(images(_shift_by_loops(clip)), weight(block.conv_a)), block.norm_a), 0
    )
    x = np.maximum(_norm(_conv(x, weight(block.conv_b), stride=stride), block.norm_b), 0)
    x = _norm(_conv(x, weight(block.conv_c)), block.norm_c)
    conv, norm = block.shortcut
    shortcut = _norm(_conv(images(clip), weight(conv), stride=stride), norm)
    return np.maximum(x + shortcut, 0).transpose(1, 0, 2, 3)[None]


def test_block_shifts_what_its_first_convolution_sees() -> None:
    block = randomised(Bottleneck(16, 8, 24, stride=2, is_shifted=True))
    clip = torch.randn(1, 16, 3, 6, 6)
    wanted = _block_by_loops(block, clip.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(block(clip).numpy(), wanted, rtol=1e-4, atol=1e-5)
        block.is_shifted = False  # no shift at all
        assert np.abs(block(clip).numpy() - wanted).max() > 0.1
        moved = block(shift_frames(clip)).numpy()  # the shortcut is shifted as well
        assert np.abs(moved - wanted).max() > 0.1
        block.is_shifted, block.conv_b.padding = True, (0, 0)
        block.conv_b = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), block.conv_b)  # as TensorFlow pads
        assert block(clip).shape == wanted.shape
        assert np.abs(block(clip).numpy() - wanted).max() > 0.1


@pytest.mark.parametrize(
    ("depth", "wanted"), [(50, [3, 4, 6, 3]), (101, [2, 2, 12, 2])], ids=["r50", "r101"]
)
def test_shifts_stand_in_every_block_or_in_every_second_one(depth: Any, wanted: list[int]) -> None:
    with torch.device("meta"):
        stages = make_tsm_resnet(depth, 3).stages
    shifted = [[block.is_shifted for block in stage] for stage in stages]
    assert [sum(stage) for stage in shifted] == wanted
    assert all(stage[::2] == [True] * len(stage[::2]) for stage in shifted)


def test_oracle_of_the_convolution_is_sound() -> None:
    images, weight, bias = torch.randn(2, 3, 7, 6), torch.randn(4, 3, 3, 3), torch.randn(4)
    found = _conv(images.numpy(), weight.numpy(), bias.numpy(), stride=2)
    wanted = F.conv2d(images, weight, bias, stride=2, padding=1)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
