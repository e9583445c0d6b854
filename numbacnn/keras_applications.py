"""keras.applications' networks, built without Keras."""

from dataclasses import replace
from typing import Any

from .applications.common import Top
from .applications.table import Application, find
from .data.preprocess import Preprocess
from .errors import ConfigError
from .graph import Graph, Shape
from .layer import Activation, activation_layer
from .model import Input, Model
from .store.keras import layout
from .store.keras.tree import KerasLayer, tree_of

_PIXELS = {
    "caffe": {"scale": 1.0, "mean": (103.939, 116.779, 123.68), "std": 1.0, "order": "bgr"},
    "tf": {},
    "torch": {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "raw": {"scale": 1.0, "mean": 0.0, "std": 1.0},
}


def keras_application(
    name: str,
    classes: int = 1000,
    input_shape: Shape | None = None,
    include_top: bool = True,
    pooling: str | None = None,
    classifier_activation: Activation = "softmax",
    seed: int | None = None,
    **options: Any,
) -> Model:
    """A network of keras.applications with random weights: nn.keras_application("ResNet50").

    name         as Keras has it: "VGG16", "EfficientNetV2B0", "NASNetMobile", …; case and underscores do not matter
    classes      number of classes, where include_top
    input_shape  (height, width, channels); default: the size that the published weights expect with the top, any size without it
    include_top  False: without the classes; the output is then (height, width, channels), or (channels) with pooling="avg" or "max"
    classifier_activation  of the last layer; None: the model gives logits
    seed         of the weights
    options      of the family: alpha of the MobileNets, imagenet=True of EfficientNetB0 … B7 (for published weights), drop_connect_rate, …

    Layers, their names, their order and their weights are those of Keras 3, so that weights fit by order and by name. The
    model carries the preprocessing that Keras documents for the network (`model.preprocess`), and where its learning-rate
    groups begin (`model.splits`). Raises UnknownNameError for the name, ConfigError for an option.
    """
    known = find(name)
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ConfigError(f"classes={classes!r} must be the number of classes, an integer of at least 1")
    if pooling not in (None, "avg", "max"):
        raise ConfigError(f"pooling={pooling!r} must be 'avg', 'max' or None")
    if classifier_activation is not None:
        activation_layer(classifier_activation)
    shape = _shape(name, known, input_shape, include_top)
    source = Input(shape, name="input_layer")
    output = known(source, Top(classes, bool(include_top), pooling, classifier_activation), **options)
    title = known.title.format(alpha=float(options.get("alpha", 1.0)), rows=shape[0])
    model = Model(source, output, title, seed)
    model.preprocess = _preprocess(known, shape)
    model.keras_layers = _nesting(model.graph)
    model.splits = tuple(prefix for prefix in known.splits if any(owner.startswith(prefix) for owner in model.handles))
    return model


def _shape(name: str, known: Application, given: Shape | None, include_top: bool) -> Shape:
    """The input's shape: the one given, checked, or the network's own."""
    square = (known.size, known.size, 3)
    if given is None:
        return square if known.fixed or (include_top and not known.any_size) else (None, None, 3)
    shape = tuple(given) if isinstance(given, (tuple, list)) else ()
    if len(shape) != 3 or not isinstance(shape[2], int):
        raise ConfigError(f"input_shape={given!r} must be (height, width, channels), such as {square}")
    sides = [side for side in shape[:2] if side is not None]
    if any(not isinstance(side, int) or side < known.smallest for side in sides):
        raise ConfigError(f"input_shape={given!r}: {name} needs images of at least {known.smallest}x{known.smallest} pixels")
    if len(sides) < 2 and (known.fixed or (include_top and not known.any_size)):
        way = "give the size" if known.fixed else "give the size, or include_top=False"
        raise ConfigError(f"input_shape={given!r}: height and width of {name} must be known here: {way}")
    return shape


def _nesting(graph: Graph) -> list[dict[str, Any]] | None:
    """For Keras' files of weights: layers called "model/layer" lie in a model of their own there, a Sequential. None where there are none."""
    found: list[KerasLayer] = []
    for layer in tree_of(graph):
        outer, _, inner = layer.name.rpartition("/")
        if not outer:
            found.append(layer)
            continue
        if found[-1].name != outer:
            found.append(KerasLayer(outer, "Sequential"))
        found[-1] = replace(found[-1], children=(*found[-1].children, replace(layer, name=inner)))
    return layout.to_json(found) if any(layer.children for layer in found) else None


def _preprocess(known: Application, shape: Shape) -> Preprocess | None:
    """What Keras documents for the network, in the model's size (where that is open, the published weights'); None if it cannot be had."""
    pixels, channels = _PIXELS[known.pixels], shape[2]
    if channels not in (1, 3) or (channels == 1 and known.pixels in ("caffe", "torch")):
        return None
    size = tuple(side or known.size for side in shape[:2])
    return Preprocess(size=size, color="gray" if channels == 1 else "rgb", **pixels)
