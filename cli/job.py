"""What `numbacnn fit` trains on what: from the options of a new run, or from the checkpoint of one that goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numbacnn import registry
from numbacnn.errors import ConfigError

from . import multi_label
from .options import plain, show_size

MAY_CHANGE = ("epochs", "labels")  # of the settings, what --resume may be given anew
SHOWN = 5  # classes that are named where they differ


@dataclass
class Job:
    """What is trained on what. epoch: the first one; keeper: the callback of a run that goes on."""

    model: Any
    train: Any
    valid: Any
    settings: dict[str, Any]
    epoch: int = 0
    keeper: Any = None

    @property
    def skipped(self) -> list[tuple[Any, str]]:
        """(path, reason) of files that could not be read, as far as known."""
        return [*self.train.skipped, *(self.valid.skipped if self.valid else ())]

    def facts(self) -> dict[str, Any]:
        """For summary.json."""
        images = {"images_train": self.train.images, "images_valid": self.valid.images if self.valid else 0, "images_skipped": len(self.skipped)}
        table = {} if self.settings.get("labels") is None else {"labels_file": self.settings["labels"]}
        return {name: self.settings[name] for name in ("model", "size", "color")} | table | images

    def callbacks(self) -> list[Any]:
        """What comes before the run's own callback."""
        return multi_label.callbacks(self.train, self.valid)


@dataclass(frozen=True)
class Preparation:
    """Options become a Job. given: names of the settings that were given on the command line."""

    folder: Path
    run: Path
    given: set[str]
    device: str
    threads: int | None
    settings: dict[str, Any]

    def start(self) -> Job:
        """A new run."""
        import numbacnn as nn

        settings = self.settings | {"loss": multi_label.chosen_loss(self.settings, self.given)}
        rate = {} if settings["lr"] is None else {"learning_rate": settings["lr"]}
        optimizer, loss = registry.optimizers[settings["optimizer"]](**rate), registry.losses[settings["loss"]]()
        named = settings["model"] in registry.models
        model = None if named else nn.load(settings["model"])
        preprocess = nn.Preprocess(tuple(settings["size"]), settings["color"]) if named else self._preprocess(model)
        settings = settings | {"size": list(preprocess.size), "color": preprocess.color}
        train, valid = self._data(settings, preprocess)
        if model is None:
            model = nn.build(settings["model"], input_shape=preprocess.shape, classes=len(train.classes), seed=settings["seed"])
        elif model.classes is not None:
            self._same_classes(model, train, plain(settings["model"]))
        model.compile(optimizer=optimizer, loss=loss, metrics=multi_label.METRICS[train.task], device=self.device, threads=self.threads)
        return Job(model, train, valid, settings)

    def resume(self) -> Job:
        """The run goes on as its checkpoint says."""
        from numbacnn.loading import restore
        from numbacnn.train.run_folder import RunFolder

        keeper, file = RunFolder.resume(self.run)
        settings = keeper.settings
        for name in sorted(self.given.difference(MAY_CHANGE)):
            if self.settings[name] != settings.get(name):
                option = "--" + name.replace("_", "-")
                old, new = _shown(settings.get(name)), _shown(self.settings[name])
                raise ConfigError(
                    f"--resume goes on with {option} {old}, which {plain(self.run)} was started with, not {new}: leave out {option}, or start a new run"
                )
        multi_label.check_resumed(self.settings, settings, self.run)
        settings = settings | {name: self.settings[name] for name in self.given.intersection(MAY_CHANGE)}
        if settings["epochs"] < keeper.epoch:
            done = f"{plain(self.run)} has been trained for {keeper.epoch} epochs already"
            raise ConfigError(f"--epochs {settings['epochs']}: {done}; --epochs {keeper.epoch + 1} or more goes on")
        keeper.settings, model = settings, restore(file)
        train, valid = self._data(settings, model.preprocess)
        self._same_classes(model, train, plain(self.run))
        model.network.use(self.device, self.threads)
        return Job(model, train, valid, settings, keeper.epoch, keeper)

    def _data(self, settings: dict[str, Any], preprocess: Any) -> tuple[Any, Any]:
        import numbacnn as nn

        chosen = {name: settings[name] for name in ("valid", "batch_size", "augment", "seed")}
        return nn.image_folder(self.folder, preprocess=preprocess, labels=settings.get("labels"), **chosen)

    def _preprocess(self, model: Any) -> Any:
        """How a model that exists wants its pictures; --size and --color must not say otherwise."""
        import numbacnn as nn

        size, color = tuple(self.settings["size"]), self.settings["color"]
        shape = model.input_shape
        if len(shape) == 4:
            size = tuple(own or chosen for own, chosen in zip(shape[1:3], size, strict=True))
            color = {1: "gray", 3: "rgb"}.get(shape[3], color)
        preprocess = model.preprocess or nn.Preprocess(size, color)
        wanted = {"size": list(preprocess.size), "color": preprocess.color}
        for name in sorted(wanted.keys() & self.given):
            if self.settings[name] != wanted[name]:
                takes = f"{show_size(preprocess.size)} {preprocess.color}"
                raise ConfigError(f"--{name} {_shown(self.settings[name])}: {plain(self.settings['model'])} takes pictures of {takes}; leave out --{name}")
        return preprocess

    def _same_classes(self, model: Any, train: Any, where: str) -> None:
        if tuple(model.classes) != tuple(train.classes):
            unknown, missing = (sorted(set(a) - set(b)) for a, b in ((train.classes, model.classes), (model.classes, train.classes)))
            parts = [f"{what} {', '.join(names[:SHOWN])}" for what, names in (("the model does not know", unknown), ("the folder lacks", missing)) if names]
            way_out = "give a folder with the model's classes, or start a new model"
            raise ConfigError(f"{where} and {plain(self.folder)} have different classes: {'; '.join(parts) or 'in another order'}; {way_out}")


def _shown(value: Any) -> str:
    return show_size(value) if isinstance(value, list) else plain(value)
