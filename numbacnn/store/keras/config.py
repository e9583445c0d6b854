"""Configurations of Keras models -> our graphs. Plain data in, plain data out; reading files is the containers' business."""

import json
import re
from typing import Any

from ...graph import Graph
from .build import Builder
from .checks import Fail
from .order import settle
from .parse import parse_model
from .tree import KerasLayer


def parse_json(data: str | bytes, fail: Fail) -> dict:
    """The configuration in a file's text. What is no JSON object, or lies too deep, is refused."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise fail(f"the model's configuration is no JSON: the file is damaged ({type(error).__name__}: {str(error)[:100]})") from error
    if not isinstance(config, dict):
        raise fail("the model's configuration is no JSON object: the file is damaged, or holds no model of Keras")
    return config


def read_config(config: dict, version: str | None, fail: Fail) -> tuple[Graph, tuple[KerasLayer, ...], dict[str, bool]]:
    """The graph that a configuration describes, its layers as files of weights know them, and owner -> whether it is trained.

    config   {"class_name": "Functional" | "Model" | "Sequential", "config": …}, in the spelling of any Keras from 2 on
    version  `keras_version` of the file ("2.15.0"); None, where the file has none: older than 2. It decides what "hard_sigmoid" means.
    fail     reason -> the error to raise, which names the file

    Models in the model are inlined, their layers are named "outer/inner". Initializers and regularizers that numbacnn does not know
    are left out, and so are constraints; layers that augment in training only (RandomFlip and the like) become Identity layers.
    A model that is channels_first throughout becomes the same network for images with the channels last.
    Layers of a model in the model that no output depends on are in the tree, without an owner, but not in the graph.

    Raises what `fail` makes, for anything that is not understood; nothing is imported or evaluated.
    """
    try:
        model = parse_model(config, fail)
        settle(model, fail)
        builder = Builder(major(version), fail)
        inputs = builder.inputs(model)
        outputs = builder.call_model(model, inputs, "", True, fail)
        graph = builder.graph(inputs, outputs)
        owners = {node.owner for node in graph.nodes}
        tree = tuple(builder.tree(model, owners))
        return graph, tree, {owner: flag for owner, flag in builder.trainable.items() if owner in owners}
    except RecursionError as error:
        raise fail("the model's configuration lies too deep in itself: the file is damaged, or made to exhaust the stack") from error


def major(version: Any) -> int:
    found = re.match(r"\d+", version) if isinstance(version, str) else None
    return int(found[0]) if found and len(found[0]) < 4 else 1
