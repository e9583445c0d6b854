"""Models whose images have their channels first, as the same networks for images with the channels last.

Kernels have the same layout in both, so that no weight changes; axes do. What depends on the order of the values in memory (Reshape,
Dense on images, a Flatten that says channels_last) would need other weights and is refused.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...graph import Shape
from .checks import Fail, shown
from .parse import Entry, ParsedModel

_IMAGES = (  # layers whose data_format says how the model's images lie
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "MaxPooling2D", "AveragePooling2D"),
    *("ZeroPadding2D", "Cropping2D", "UpSampling2D", "SpatialDropout2D", "Resizing"),
)
_AXIS = ("BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "Concatenate", "Softmax")
_ANYWHERE = (  # take images and vectors alike, and have no axis
    *("ReLU", "ThresholdedReLU", "LeakyReLU", "ELU", "Activation", "StochasticDepth", "GaussianNoise", "GaussianDropout", "Identity"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "TrueDivide", "CustomScaleLayer", "TFOpLambda"),
    *("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "HardSigmoid", "HardSilu", "Gelu", "LeakyRelu"),
)


def is_channels_first(model: ParsedModel, fail: Fail) -> bool:
    """Whether the model's images, those of the models in it too, have their channels first; mixtures are refused."""
    formats: dict[str, str] = {}
    _collect(model, formats)
    if len(formats) > 1 and "channels_first" in formats:
        names = ", ".join(f"{name!r} is {f}" for f, name in formats.items())
        raise fail(f"it mixes images with channels first and last ({names}): only models that are the same throughout are read")
    return "channels_first" in formats


def _collect(model: ParsedModel, formats: dict[str, str]) -> None:
    for entry in model.entries.values():
        if entry.model is not None:
            _collect(entry.model, formats)
        elif entry.class_name in _IMAGES:
            given = entry.config.get("data_format")
            formats.setdefault(given if isinstance(given, str) else "channels_last", entry.name)


def last_shape(shape: Shape) -> Shape:
    """The shape of images with their channels last; another shape stays."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def with_channels_last(entry: Entry, shapes: Sequence[Shape], fail: Fail) -> Entry:
    """The layer for inputs of these shapes (channels last already); refused where the order of values would matter."""
    config, name = dict(entry.config), entry.class_name
    images = any(len(s) == 3 for s in shapes)
    given = config.pop("data_format", None)
    if not images:
        if name == "Reshape" and isinstance(target := config.get("target_shape"), list) and len(target) == 3:
            if target[1:] != [1, 1]:
                raise fail(f"it makes images of shape {shown(target)} out of vectors, whose values would need another order with the channels last")
            config["target_shape"] = [1, 1, target[0]]
        return replace(entry, config=config)
    single = all(s[0] == s[1] == 1 for s in shapes if len(s) == 3)  # images of one pixel have one order
    if name in _IMAGES or name.startswith("Global"):
        if given != "channels_first":
            raise fail("its data_format is not channels_first as that of the rest of the model")
    elif name in _AXIS:
        config["axis"] = _axis(config.get("axis", -1), fail)
    elif name == "Dropout":
        if isinstance(noise := config.get("noise_shape"), list) and len(noise) == 4:
            config["noise_shape"] = [noise[0], *noise[2:], noise[1]]
    elif name not in _ANYWHERE and not name.startswith("Random") and not _keeps_order(name, config, given, single):
        raise fail("in a model with the channels first, numbacnn cannot put the values that it reads into another order: convert the model to channels_last")
    if config.get("activation") == "softmax":
        raise fail("activation='softmax' goes along the last axis, which is the images' width with the channels first: numbacnn does not read that")
    return replace(entry, config=config)


def _keeps_order(name: str, config: dict, given: Any, single: bool) -> bool:
    """Whether a layer gives the same values in the same order for images that have their channels last."""
    if name == "Flatten":  # Keras' own puts the channels last, where it is told that they are not
        return single or given == "channels_first"
    if name == "Reshape":
        return single and isinstance(target := config.get("target_shape"), list) and len(target) == 1
    return name == "Rescaling" and all(type(config.get(k, 0)) in (int, float) for k in ("scale", "offset"))


def _axis(value: Any, fail: Fail) -> int:
    """Axis 1 of images, their channels, is the last one here."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value not in (1, -3):
        raise fail(f"axis={shown(value)} does not mean the channels, which are axis 1 of this model: numbacnn reads no other axis with channels first")
    return -1
