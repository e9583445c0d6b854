"""One layer of a configuration of Keras -> layers of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ... import fields, registry
from ...errors import NumbacnnError
from ...graph import Shape
from ...layer import Layer, activation_layer
from .activations import by_name
from .checks import Fail, flag, integer, number, per_channel, plain, shown, within
from .for_training import read_initializer, read_regularizer
from .parse import Entry
from .rules import CODE, RULES, TRAINING_ONLY, Rule

_COMMON = ("name", "trainable", "dtype", "data_format", "batch_shape", "batch_input_shape", "input_dtype", "dynamic", "activity_regularizer")
_SIDES = ("kernel_size", "strides", "dilation_rate", "pool_size", "size", "padding", "cropping", "output_padding", "depth_multiplier", "height", "width")
_SIDE, _CHANNELS = 4096, 1 << 24  # the largest window, border or factor, and number of filters, that are read
_POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")  # all of these keep their weights in float32


@dataclass(frozen=True)
class Part:
    """A layer of ours that a layer of Keras becomes, or a part of it. sources: numbers of its inputs, or of parts before it, ~0 the first."""

    layer: Layer
    sources: tuple[int, ...] | None = None  # None: all inputs


def parts_of(entry: Entry, shapes: Sequence[Shape], keras: int, fail: Fail) -> tuple[Part, ...]:
    """What a layer of Keras becomes on inputs of these shapes; `keras` is the major version that wrote the file."""
    if entry.class_name == "Custom>CustomScaleLayer":  # how tf.keras 2 registers a layer of InceptionResNetV2
        entry = replace(entry, class_name="CustomScaleLayer")
    fail, name = entry.within(fail), entry.class_name
    check_dtype(entry.config.get("dtype"), fail)
    if name in CODE:
        raise fail("it holds code, or the name of code, to be run; numbacnn runs none from files: rebuild the model with layers in its place")
    if entry.config.get("data_format") not in (None, "channels_last"):
        raise fail(f"data_format={shown(entry.config['data_format'])}: only channels_last, and models that are channels_first throughout, are read")
    if _is_keras(entry):
        if name in TRAINING_ONLY:
            return (Part(registry.layers["Identity"]()),)
        if name == "CustomScaleLayer":  # of InceptionResNetV2: x0 + x1 * scale
            scaled = registry.layers["Rescaling"](number(entry.config.get("scale"), fail, "scale"))
            return Part(scaled, (1,)), Part(registry.layers["Add"](), (0, ~0))
        if name == "CenterCrop":
            return (Part(_center_crop(entry, shapes, fail)),)
        if name in RULES:
            return (Part(_by_rule(RULES[name], entry, shapes, keras, fail)),)
    return (Part(_registered(entry, keras, fail)),)


def _is_keras(entry: Entry) -> bool:
    """Whether the class is Keras' own, as far as the file says: a user's class has a module, or a name, of its own."""
    if isinstance(entry.module, str):
        return entry.module.partition(".")[0] in ("keras", "tf_keras", "tensorflow")
    return ">" not in entry.class_name


def check_dtype(dtype: Any, fail: Fail) -> None:
    """Layers compute in float32 and keep their weights so; mixed policies do the latter."""
    given = dtype
    if isinstance(dtype, dict):
        config = dtype.get("config")
        given = (
            config.get("name") if dtype.get("class_name") in ("DTypePolicy", "Policy", "PolicyV1", "FloatDTypePolicy") and isinstance(config, dict) else None
        )
        if given is None:
            raise fail(f"dtype={shown(dtype)} is no policy that numbacnn reads ({', '.join(_POLICIES)}): quantized models are not")
    if given is not None and given not in _POLICIES:
        raise fail(f"dtype={shown(given)} is not read: {', '.join(_POLICIES)} are; set it to float32 in Keras and save again")


def _by_rule(rule: Rule, entry: Entry, shapes: Sequence[Shape], keras: int, fail: Fail) -> Layer:
    config = {dict(rule.renamed).get(k, k): plain(v) for k, v in entry.config.items()}
    stored, activation = {}, None
    for key, value in config.items():
        if key in rule.vectors:
            if value is not None:
                stored[key] = per_channel(value, fail, key)
        elif key == "activation" and key in rule.fields:
            activation = read_activation(value, keras, fail)
        elif key.endswith("_initializer") and key in rule.fields:
            if (found := read_initializer(value, fail, key)) is not None:
                stored[key] = found
        elif key.endswith("_regularizer") and key in rule.fields:
            stored[key] = read_regularizer(value, fail, key)
        elif key in rule.fields or key in dict(rule.renamed).values():
            stored[key] = value[0] if key == "axis" and isinstance(value, list) and len(value) == 1 else value
        elif key == "axis" and rule.channels:
            _check_axis(value, shapes, entry, fail)
        else:
            _check_unused(rule, key, value, fail)
    for key in _SIDES:
        if key in stored:
            _check_sides(stored[key], fail, key)
    for key in ("filters", "units", "groups"):
        if key in stored:
            integer(stored[key], fail, key, -1, _CHANNELS)
    if rule.keras == "StochasticDepth":
        stored["noise_shape"] = [None, *[1] * len(shapes[0])]
    if rule.keras == "Reshape" and isinstance(stored.get("target_shape"), list):
        stored["target_shape"] = [-1 if n is None else n for n in stored["target_shape"]]
    if rule.keras == "Activation":
        stored["activation"] = "linear"  # until the real one takes its place
    layer = build(rule.ours, {k: list(v) if isinstance(v, tuple) else v for k, v in stored.items()}, fail)
    if rule.keras == "Activation":
        return replace(layer, activation=activation if activation is not None else "linear")
    return layer if activation in (None, "linear") else replace(layer, activation=activation)


def build(ours: str, stored: dict, fail: Fail) -> Layer:
    """The layer of ours with these fields, as JSON has them; whatever it says against them goes to `fail`."""
    try:
        return fields.build(registry.layers[ours], stored, lambda kind, name: registry.layers[name] if issubclass(kind, Layer) else None, ours)
    except NumbacnnError as error:
        raise fail(str(error).removeprefix(f"{ours}: ")) from error


def read_activation(value: Any, keras: int, fail: Fail, depth: int = 0) -> str | Layer | None:
    """The activation that a field of Keras says: a name, a function by its name, or a layer."""
    if value is None:
        return None
    if isinstance(value, dict):
        config, name = value.get("config"), value.get("class_name")
        if name == "function" or (isinstance(config, str) and name not in RULES):  # Keras 3's way to say a function by its name
            value = config
        elif isinstance(config, dict) and isinstance(name, str) and depth < 2:
            inner = Entry(str(config.get("name") or name), name, config, module=value.get("module"), registered_name=value.get("registered_name"))
            (part,) = parts_of(inner, ((1, 1, 1),), keras, within(fail, "activation"))
            try:
                return activation_layer(part.layer)
            except NumbacnnError as error:
                raise fail(str(error)) from error
    return by_name(value, keras, fail)


def _check_axis(value: Any, shapes: Sequence[Shape], entry: Entry, fail: Fail) -> None:
    """`axis`, or its one element, must be the last."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value is None and entry.class_name == "Normalization" and not isinstance(plain(entry.config.get("mean")), (list, type(None))):
        return  # one mean for all
    if type(value) is not int or value not in (-1, len(shapes[0])):
        raise fail(f"axis={shown(value)} is not the last one, where the channels are; numbacnn normalizes along channels only")


def _check_unused(rule: Rule, key: str, value: Any, fail: Fail) -> None:
    """An option that no field of ours says: it must not change anything."""
    for name, values in rule.only:
        if key == name and value is not None and not any(type(v) is type(value) and v == value for v in values):
            raise fail(f"{key}={shown(value)} is not there in numbacnn ({', '.join(map(repr, (None, *values)))} would do)")
    if key in (*_COMMON, *rule.unused) or key.endswith("_constraint") or any(key == name for name, _ in rule.only) or value is None or value is False:
        return
    raise fail(f"numbacnn does not know its option {key}={shown(value)}, which may change what it computes")


def _check_sides(value: Any, fail: Fail, key: str, depth: int = 0) -> None:
    if isinstance(value, list) and depth < 3:
        for item in value[:8]:  # of more items the field itself says that they are too many
            _check_sides(item, fail, key, depth + 1)
    elif type(value) is int:
        integer(value, fail, key, -_SIDE, _SIDE)


def _center_crop(entry: Entry, shapes: Sequence[Shape], fail: Fail) -> Layer:
    """CenterCrop of images that are at least as large as what it leaves; of smaller ones Keras makes larger ones first."""
    h, w = (integer(plain(entry.config.get(k)), fail, k, 1, _CHANNELS) for k in ("height", "width"))
    if len(shapes) != 1 or len(shapes[0]) != 3 or None in shapes[0] or shapes[0][0] < h or shapes[0][1] < w:
        raise fail(f"it crops images to {h}x{w}, which is read for images of a known size that is at least that, not for {', '.join(map(str, shapes))}")
    top, left = (shapes[0][0] - h) // 2, (shapes[0][1] - w) // 2
    return registry.layers["Cropping2D"](((top, shapes[0][0] - h - top), (left, shapes[0][1] - w - left)))


def _registered(entry: Entry, keras: int, fail: Fail) -> Layer:
    """A layer that is registered under the class' name: a plugin's, or one of ours that Keras does not have."""
    own = entry.class_name.rpartition(">")[2]
    if own not in registry.layers.points or own in RULES or own == "Input":
        known = own if own.isidentifier() else "Name"
        raise fail(
            f"numbacnn has no layer for the class {shown(entry.class_name)}. If it is a layer of yours, write it as one for numbacnn (README.md) "
            f'and register it in the pyproject.toml of an installed package: [project.entry-points."{registry.layers.group}"] {known} = "your_module:{known}"'
        )
    stored, activation = {}, None
    for key, value in entry.config.items():
        if key == "activation":
            activation = read_activation(value, keras, fail)
        elif key.endswith("_initializer"):
            stored |= {} if (found := read_initializer(value, fail, key)) is None else {key: found}
        elif key.endswith("_regularizer"):
            stored |= {} if (found := read_regularizer(value, fail, key)) is None else {key: found}
        elif key not in _COMMON:
            stored[key] = plain(value)
    layer = build(own, stored, fail)
    try:
        return layer if activation is None else replace(layer, activation=activation)
    except TypeError:
        raise fail(f"the registered layer {own} has no field activation") from None


def is_trainable(entry: Entry, fail: Fail) -> bool:
    """Whether the layer itself is trained."""
    value = entry.config.get("trainable")
    return True if value is None else flag(value, entry.within(fail), "trainable")
