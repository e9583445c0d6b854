"""From what a file holds to its state dict: checkpoints wrap it into dicts, and wrappers put prefixes before its names."""

from typing import Any

from .records import Damaged, Tensor

# Where training scripts put the model's weights, in the order in which they are looked for.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_state", "net", "network", "module", "weights", "params", "model_ema", "ema", "params_ema")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_DEPTH = 8


def unwrap(value: Any) -> dict[str, Tensor]:
    """The state dict in a file's value: name -> tensor, in order. Raises Damaged where there is none, or several."""
    if isinstance(value, Tensor):
        raise Damaged("holds one tensor, not the weights of a model: save model.state_dict()")
    if type(value) is not dict:
        raise Damaged("holds no dict of weights: save model.state_dict()")
    names = {name: v for name, v in _inner(value, 0).items() if isinstance(v, Tensor)}
    for prefix in _PREFIXES * 2:  # both, in either order
        if all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): v for name, v in names.items()}
    return names


def _holds_weights(value: Any) -> bool:
    return type(value) is dict and any(isinstance(v, Tensor) and type(k) is str for k, v in value.items())


def _inner(value: dict, depth: int) -> dict:
    if depth > _DEPTH:
        raise Damaged(f"has more than {_DEPTH} dicts in each other: the file is damaged")
    for name in _WRAPPERS:
        if type(inside := value.get(name)) is dict and (_holds_weights(inside) or any(type(inside.get(n)) is dict for n in _WRAPPERS)):
            return _inner(inside, depth + 1)
    if _holds_weights(value):
        if strange := [str(k)[:60] for k, v in value.items() if type(k) is not str]:
            raise Damaged(f"its weights have names that are no texts: {', '.join(strange[:5])}")
        if nested := [k[:60] for k, v in value.items() if type(v) in (dict, list, tuple) and not k.endswith("_extra_state")]:
            raise Damaged(f"holds other things among its weights ({', '.join(nested[:5])}): save model.state_dict() alone")
        return value
    found = [k for k, v in value.items() if type(k) is str and _holds_weights(v)]
    if len(found) == 1:
        return _inner(value[found[0]], depth + 1)
    if found:
        raise Damaged(f"holds the weights of several things ({', '.join(k[:60] for k in found[:10])}): save one state_dict() alone")
    raise Damaged(f"holds no weights; its dict has {', '.join(repr(k)[:60] for k in list(value)[:10]) or 'nothing in it'}: save model.state_dict()")
