"""How a Keras model was compiled: training_config of .h5 files, compile_config of .keras archives, as our optimizers, losses and metrics.

What has a counterpart here is in fixed tables; names in a file lead to nothing else. Read from files of Keras 3.15.1 and tf.keras 2.15.1.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ... import fields, registry
from ...errors import NumbacnnError
from ...functional import snake
from ...graph import Graph
from ...plan.expand import expand
from .checks import shown

_CLIPS = ("learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue")
_OPTIMIZERS = {  # Keras' class in lower case -> (ours, the options that both have)
    "sgd": ("SGD", (*_CLIPS, "momentum", "nesterov")),
    "rmsprop": ("RMSprop", (*_CLIPS, "rho", "momentum", "epsilon", "centered")),
    "adam": ("Adam", (*_CLIPS, "beta_1", "beta_2", "epsilon", "amsgrad")),
    "adamw": ("AdamW", (*_CLIPS, "beta_1", "beta_2", "epsilon", "amsgrad")),
}
_LOSSES = {  # Keras' name, or its class in snake case -> (ours, {Keras' option: ours})
    **dict.fromkeys(("categorical_crossentropy",), ("cross_entropy", {"label_smoothing": "label_smoothing"})),
    **dict.fromkeys(("sparse_categorical_crossentropy",), ("cross_entropy", {})),
    **dict.fromkeys(("binary_crossentropy", "bce"), ("binary_cross_entropy", {"label_smoothing": "label_smoothing"})),
    **dict.fromkeys(("mse", "mean_squared_error"), ("mse", {})),
    **dict.fromkeys(("mae", "mean_absolute_error"), ("mae", {})),
    **dict.fromkeys(("huber", "huber_loss"), ("huber", {"delta": "delta"})),
    "categorical_focal_crossentropy": ("focal", {"alpha": "alpha", "gamma": "gamma"}),
}
_METRICS = {  # likewise
    **dict.fromkeys(("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy"), ("accuracy", {})),
    "binary_accuracy": ("accuracy", {"threshold": "threshold"}),
    **dict.fromkeys(("top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"), ("top_k", {"k": "k"})),
    "precision": ("precision", {"thresholds": "threshold"}),
    "recall": ("recall", {"thresholds": "threshold"}),
    "f1_score": ("f1", {"average": "average", "threshold": "threshold"}),
}
_NOTHING = {  # options that change nothing, with the values for which that is so; None: any value
    **dict.fromkeys(("name", "dtype", "fn", "jit_compile", "is_legacy_optimizer", "ema_momentum", "ema_overwrite_frequency", "from_logits")),
    "use_ema": (False, None),
    "reduction": ("auto", "sum_over_batch_size", None),
    "axis": (-1, None),
    "label_smoothing": (0, None),
    "decay": (0, None),
}


class _Unknown(ValueError):
    """Something that has no counterpart here, in words."""


def read_training(config: Any, names: Sequence[str], graph: Graph, keras: int) -> tuple[dict[str, Any] | None, str]:
    """(what `ModelFile.compiled` holds, or None where the file says nothing or something unknown; what is unknown, in words).

    config  as in the file;  names: what Keras calls the model's outputs, in order;  keras: its major version
    """
    if not isinstance(config, dict) or config.get("loss") is None:
        return None, ""
    unknown: list[str] = []

    def read(what: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except _Unknown as error:
            unknown.append(f"{what} {error}")
        except (NumbacnnError, TypeError, ValueError, KeyError, AttributeError) as error:
            unknown.append(f"{what} ({type(error).__name__}: {str(error)[:100]})")

    losses = read("losses", lambda: _each(config["loss"], names)) or ()
    metrics = read("metrics", lambda: _metrics(config.get("metrics"), names, keras)) or ()
    found = {
        "optimizer": read("optimizer", lambda: _optimizer(config.get("optimizer_config") or config.get("optimizer") or "rmsprop")),  # Keras' default
        "losses": [read("loss", partial(_loss, loss, link)) for loss, link in zip(losses, _links(graph), strict=False)],
        "loss_weights": read("loss_weights", lambda: [1.0 if w is None else float(w) for w in _each(config.get("loss_weights"), names)]),
        "metrics": [[read("metric", partial(_metric, metric)) for metric in several] for several in metrics],
        "groups": [],
    }
    if config.get("weighted_metrics"):
        unknown.append(f"weighted_metrics {shown(config['weighted_metrics'])}")
    return (None, ", ".join(unknown)) if unknown else (found, "")


def _links(graph: Graph) -> list[str | None]:
    """What each output is made of logits with: "softmax", "sigmoid" or None."""
    last = {node.name: node.layer for node in expand(graph).nodes}
    return [last[name].link for name in graph.outputs]


def _each(value: Any, names: Sequence[str]) -> list[Any]:
    """One value for each output."""
    if isinstance(value, dict) and not _is_object(value):
        if set(value) - set(names):
            raise _Unknown(f"for outputs {shown(sorted(value))}, which are called {shown(list(names))}")
        return [value.get(name) for name in names]
    if isinstance(value, list):
        if len(value) != len(names):
            raise _Unknown(f"{shown(value)} for {len(names)} outputs")
        return value
    return [value] * len(names)


def _metrics(value: Any, names: Sequence[str], keras: int) -> list[list[Any]]:
    """The metrics of each output: a list for all (Keras 2) or with one entry each (Keras 3), a list of lists, or a dict."""
    flat = isinstance(value, list) and not any(isinstance(v, list) for v in value)
    each = [value] * len(names) if flat and (len(names) == 1 or keras < 3) else _each(value, names)
    return [[m for m in (ms if isinstance(ms, list) else [ms]) if m is not None] for ms in each]


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and "class_name" in value


def _named(value: Any) -> tuple[str, dict[str, Any]]:
    """(name, options) of something that is written as a name or as an object."""
    if isinstance(value, str):
        return value, {}
    if not _is_object(value) or not isinstance(value["class_name"], str) or not isinstance(value.get("config", {}), dict):
        raise _Unknown(shown(value))
    return value["class_name"].removeprefix("Custom>"), value.get("config", {})


def _taken(name: str, options: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """The options under our names. Raises _Unknown for one that has none and would change something."""
    for key, value in options.items():
        if key not in known and value is not None and (key not in _NOTHING or (_NOTHING[key] is not None and value not in _NOTHING[key])):
            raise _Unknown(f"{name} with {key}={shown(value)}")
    return {ours: options[key] for key, ours in known.items() if options.get(key) is not None}


def _made(found: registry.Registry, name: str, options: dict[str, Any]) -> dict[str, Any]:
    cls = found[name]
    return {"name": found.name_of(cls), "fields": fields.to_json(cls(**options))}


def _optimizer(value: Any) -> dict[str, Any]:
    name, options = _named(value)
    if name.lower() not in _OPTIMIZERS:
        raise _Unknown(shown(name))
    ours, known = _OPTIMIZERS[name.lower()]
    taken = _taken(name, options, {key: key for key in known})
    if isinstance(rate := taken.get("learning_rate"), dict):
        raise _Unknown(f"{name} with learning_rate={shown(rate.get('class_name', rate))}")
    numbers = {key: _decimal(v) if isinstance(v, float) else v for key, v in taken.items()}
    if name.lower() == "adamw" and "weight_decay" in options and options["weight_decay"] is None:
        numbers["weight_decay"] = None
    return _made(registry.optimizers, ours, numbers)


def _decimal(value: float) -> float:
    """0.001 for 0.0010000000474974513: Keras keeps the rate in float32."""
    return float(str(np.float32(value))) if float(np.float32(value)) == value else value


def _loss(value: Any, link: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    name, options = _named(value)
    plain = name if isinstance(value, str) else snake(name)
    if plain == "binary_focal_crossentropy":  # without apply_class_balancing Keras does not use alpha
        known = ("binary_focal_crossentropy", {"gamma": "gamma"} | ({"alpha": "alpha"} if options.get("apply_class_balancing") else {}))
        options = {k: v for k, v in options.items() if k != "apply_class_balancing" and (k != "alpha" or k in known[1])}
    elif plain in _LOSSES:
        known = _LOSSES[plain]
    else:
        raise _Unknown(shown(name))
    made = _made(registry.losses, known[0], _taken(name, options, known[1]))
    wanted = registry.losses[known[0]]().link
    if wanted and (link == wanted) == bool(options.get("from_logits")):
        raise _Unknown(f"{name} with from_logits={bool(options.get('from_logits'))} on an output that ends in {link or 'no such activation'}")
    return made


def _metric(value: Any) -> dict[str, Any]:
    name, options = _named(value)
    plain = name if isinstance(value, str) else snake(name)
    if plain == "mean_metric_wrapper" and isinstance(options.get("fn"), str):
        plain = name = options["fn"]
        options = {}
    if plain not in _METRICS:
        raise _Unknown(shown(name))
    ours, known = _METRICS[plain]
    if ours == "f1" and options.get("average") not in ("macro", "micro"):
        raise _Unknown(f"{name} with average={shown(options.get('average'))}")
    more = {"average": "micro"} if ours in ("precision", "recall") else {}  # Keras counts all decisions together
    return _made(registry.metrics, ours, _taken(name, options, known) | more)
