"""The body network of OpenPose: limbs and joints of a frame, refined stage after stage.

Axes of tensors: b batch, c channels, t frames, h rows, w columns; n = b * t.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from torch import nn

from perfnet.models.layers import (
    batch_as_frames,
    frames_as_batch,
    scaled_channels,
    scaled_depth,
)

BodyOutput = Literal["limbs", "limb_features", "heat", "heat_features"]
"""Of the last stage: part affinity fields (38 maps), the 128 maps before them, heat of the joints
and of the background (19 maps), and the 128 maps before them."""

ALL_OUTPUTS: tuple[BodyOutput, ...] = ("limbs", "limb_features", "heat", "heat_features")
FEATURE_CHANNELS = 128
NUM_LIMB_MAPS = 38
NUM_HEAT_MAPS = 19
"""18 joints, then the background."""
_NUM_STAGES = 6
_TRUNK = (
    *(("conv1_1", 64), ("conv1_2", 64), ("pool1", 0), ("conv2_1", 128), ("conv2_2", 128)),
    *(("pool2", 0), ("conv3_1", 256), ("conv3_2", 256), ("conv3_3", 256), ("conv3_4", 256)),
    *(("pool3", 0), ("conv4_1", 512), ("conv4_2", 512)),
    *(("conv4_3_CPM", 256), ("conv4_4_CPM", FEATURE_CHANNELS)),
)
"""Names and channels of the first ten layers of VGG-19 and of two more."""

RunBlock = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class Branch(nn.Module):
    """One half of a stage: features, then maps of joints or limbs without a ReLU.

    Args:
        stage: 1 to 6; the first has 3x3 convolutions, the others 7x7.
        side: L1 for limbs, L2 for joints: part of OpenPose's names.
        inputs: Channels of the input.
        width: Scales the channels.
        has_maps: Whether the last convolution is there.
    """

    def __init__(
        self, stage: int, side: Literal["L1", "L2"], inputs: int, width: float, *, has_maps: bool
    ) -> None:
        super().__init__()
        hidden = scaled_channels(FEATURE_CHANNELS, width)
        num_maps = NUM_LIMB_MAPS if side == "L1" else NUM_HEAT_MAPS
        if stage == 1:
            name = f"conv5_{{}}_CPM_{side}"
            sizes = [(hidden, 3)] * 3 + [(scaled_channels(512, width), 1)]
        else:
            name = f"Mconv{{}}_stage{stage}_{side}"
            sizes = [(hidden, 7)] * 5 + [(hidden, 1)]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for place, (outputs, size) in enumerate(sizes, start=1):
            layers[name.format(place)] = _conv(inputs, outputs, size)
            layers[f"relu{place}"] = nn.ReLU(inplace=True)
            inputs = outputs
        self.features = nn.Sequential(layers)
        last = OrderedDict({name.format(len(sizes) + 1): _conv(inputs, num_maps, 1)})
        self.maps = nn.Sequential(last if has_maps else OrderedDict())
        self.feature_channels, self.num_maps = inputs, num_maps

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """[n, in, h, w] -> [n, 38 or 19, h, w]."""
        return cast("torch.Tensor", self.maps(self.features(x_nchw)))


class Stage(nn.Module):
    """Maps of limbs and joints from those of the stage before and the features of the frame."""

    def __init__(self, stage: int, inputs: int, trunk_channels: int, width: float) -> None:
        super().__init__()
        self.limbs = Branch(stage, "L1", inputs, width, has_maps=True)
        self.heat = Branch(stage, "L2", inputs, width, has_maps=True)
        self._trunk_channels = trunk_channels

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """[n, [38 + 19 +] 128, h, w] -> [n, 38 + 19 + 128, h, w]."""
        trunk_nchw = x_nchw[:, -self._trunk_channels :]
        return torch.cat([self.limbs(x_nchw), self.heat(x_nchw), trunk_nchw], dim=1)


class LastStage(nn.Module):
    """The last stage, with as much of it as the outputs need."""

    def __init__(
        self, stage: int, inputs: int, width: float, outputs: Sequence[BodyOutput]
    ) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.limbs = self.heat = None
        if {"limbs", "limb_features"} & set(outputs):
            self.limbs = Branch(stage, "L1", inputs, width, has_maps="limbs" in outputs)
        if {"heat", "heat_features"} & set(outputs):
            self.heat = Branch(stage, "L2", inputs, width, has_maps="heat" in outputs)

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """[n, in, h, w] -> the outputs one behind the other along c."""
        found: dict[BodyOutput, torch.Tensor] = {}
        if self.limbs is not None:
            found["limb_features"] = self.limbs.features(x_nchw)
            found["limbs"] = self.limbs.maps(found["limb_features"])
        if self.heat is not None:
            found["heat_features"] = self.heat.features(x_nchw)
            found["heat"] = self.heat.maps(found["heat_features"])
        return torch.cat([found[name] for name in self.outputs], dim=1)

    def split(self, x_nchw: torch.Tensor) -> dict[BodyOutput, torch.Tensor]:
        """Undo the `torch.cat` of `forward`."""
        branches = {"limb": self.limbs, "heat": self.heat}
        sizes = []
        for name in self.outputs:
            branch = cast("Branch", branches[name[:4]])
            sizes.append(branch.feature_channels if "features" in name else branch.num_maps)
        return dict(zip(self.outputs, x_nchw.split(sizes, dim=1), strict=True))


def _call(block: nn.Module, x_nchw: torch.Tensor) -> torch.Tensor:
    return cast("torch.Tensor", block(x_nchw))


class OpenPoseBody(nn.Module):
    """Frames to maps of limbs and joints of an eighth of their size; without batch norms.

    Args:
        outputs: What is asked for; layers that nothing of it needs are left out.
        width: Scales the channels.
        depth: Scales the number of stages; at least 2.

    References:
        Cao et al. 2017, section 2.2: six stages of two branches over VGG-19. Layers have the
        names of the Caffe model, which Hzzone's torch code keeps. That code has a ReLU behind the
        maps of joints (its list of layers without one names the other branch twice); the Caffe
        model and this one have none.
    """

    def __init__(
        self,
        outputs: Sequence[BodyOutput] = ALL_OUTPUTS,
        *,
        width: float = 1.0,
        depth: float = 1.0,
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for name, full in _TRUNK:
            if not full:
                layers[name] = nn.MaxPool2d(2, stride=2)
                continue
            layers[name] = _conv(channels, scaled_channels(full, width), 3)
            layers[f"relu_{name}"] = nn.ReLU(inplace=True)
            channels = scaled_channels(full, width)
        number = max(2, scaled_depth(_NUM_STAGES, depth))
        blocks: list[nn.Module] = [nn.Sequential(layers), Stage(1, channels, channels, width)]
        inputs = NUM_LIMB_MAPS + NUM_HEAT_MAPS + channels
        blocks += [Stage(stage, inputs, channels, width) for stage in range(2, number)]
        self.blocks = nn.ModuleList(blocks)
        self.last = LastStage(number, inputs, width, outputs)

    def forward(
        self, clip_bcthw: torch.Tensor, run: RunBlock = _call
    ) -> dict[BodyOutput, torch.Tensor]:
        """Return the outputs, each [b, c, t, h / 8, w / 8].

        Args:
            clip_bcthw: [b, 3, t, h, w] of RGB, 0 to 1.
            run: Calls a block.
        """
        x_nchw = frames_as_batch(clip_bcthw).flip(1) * (255 / 256) - 0.5  # BGR / 256 - 0.5
        for block in (*self.blocks, self.last):
            x_nchw = run(block, x_nchw)
        parts = self.last.split(x_nchw)
        return {name: batch_as_frames(maps, clip_bcthw.shape[2]) for name, maps in parts.items()}


def _conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(cast("torch.Tensor", conv.bias))
    return conv
