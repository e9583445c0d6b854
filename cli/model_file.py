"""A model file as the beginning of a run of `numbacnn fit`: it goes on with the classes that it knows, or gets a new head for others."""

from typing import TYPE_CHECKING, Any

from numbacnn.errors import ConfigError

from .options import plain, show_size

if TYPE_CHECKING:
    from numbacnn.data.preprocess import Preprocess
    from numbacnn.model import Model

SHOWN = 5  # classes that are named


def opened(settings: dict[str, Any], given: set[str], size: tuple[int, int]) -> "tuple[Model, Preprocess, dict[str, Any]]":
    """The model, how it wants its pictures, and the settings that say so; --size, --color and --resize must not say otherwise."""
    import numbacnn as nn

    model = nn.load(settings["model"])
    size, color = tuple(settings["size"] or size), settings["color"]
    if len(shape := model.input_shape) == 4:
        size = tuple(own or chosen for own, chosen in zip(shape[1:3], size, strict=True))
        color = {1: "gray", 3: "rgb"}.get(shape[3], color)
    preprocess = model.preprocess or nn.Preprocess(size, color)
    wanted = {"size": list(preprocess.size), "color": preprocess.color, "resize": preprocess.resize}
    for name in sorted(wanted.keys() & given):
        if settings[name] != wanted[name]:
            asked = show_size(settings[name]) if name == "size" else settings[name]
            takes = f"{show_size(preprocess.size)} {preprocess.color}" if name != "resize" else f"its own kind (resize={preprocess.resize})"
            raise ConfigError(f"--{name} {asked}: {plain(settings['model'])} takes pictures of {takes}; leave out --{name}")
    return model, preprocess, wanted


def knows(model: "Model", classes: tuple[str, ...]) -> bool:
    """Whether the model tells just these classes apart, by name, or (where it has no names) by their number."""
    if model.classes is not None:
        return tuple(model.classes) == tuple(classes)
    return len(model.graph.outputs) == 1 and model.graph.shapes()[model.graph.outputs[0]] == (len(classes),)


def with_head_for(model: "Model", classes: tuple[str, ...], seed: int) -> "Model":
    """The model with a new head, all of it to be trained, whatever the file had frozen."""
    made = model.with_head(list(classes), seed=seed)
    made.unfreeze()
    return made


def exchange(model: "Model", count: int) -> str:
    """That there is a new head, and which one goes, in words."""
    if model.classes is not None:
        shown = ", ".join(model.classes[:SHOWN]) + ", …" * (len(model.classes) > SHOWN)
        return f"a new head for {count} classes, in the place of {len(model.classes)} classes ({shown})"
    shape = model.graph.shapes()[model.graph.outputs[0]]
    return f"a new head for {count} classes, in the place of {shape[0]} outputs without names" if len(shape) == 1 else f"a head for {count} classes"
