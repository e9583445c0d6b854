"""What `numbacnn fit` trains on what: from the options of a new run, or from the checkpoint of one that goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numbacnn import registry
from numbacnn.errors import ConfigError

from . import multi_label
from .options import AUTO, plain, show_size

MAY_CHANGE = ("epochs", "labels")  # of the settings, what --resume may be given anew
SHOWN = 5  # classes that are named where they differ


def whole(settings: dict[str, Any]) -> int:
    """Epochs in all: those of the head alone and those of all layers."""
    return settings["epochs"] + (settings.get("freeze_epochs") or 0)


@dataclass
class Job:
    """What is trained on what. epoch: the first one; keeper: the callback of a run that goes on; note: why this model."""

    model: Any
    train: Any
    valid: Any
    settings: dict[str, Any]
    epoch: int = 0
    keeper: Any = None
    note: str = ""

    @property
    def skipped(self) -> list[tuple[Any, str]]:
        """(path, reason) of files that could not be read, as far as known."""
        return [*self.train.skipped, *(self.valid.skipped if self.valid else ())]

    def facts(self) -> dict[str, Any]:
        """For summary.json."""
        images = {"images_train": self.train.images, "images_valid": self.valid.images if self.valid else 0, "images_skipped": len(self.skipped)}
        table = {} if self.settings.get("labels") is None else {"labels_file": self.settings["labels"]}
        return {name: self.settings[name] for name in ("model", "size", "color")} | table | images

    def fit(self, callbacks: list[Any], position: Any) -> None:
        """Train: published weights are fine-tuned, others go through one cycle."""
        settings, options = self.settings, {"initial_epoch": self.epoch, "seed": self.settings["seed"], "position": position, "callbacks": callbacks}
        if settings.get("freeze_epochs") is None:
            self.model.fit(self.train, self.valid, epochs=settings["epochs"], schedule="one_cycle", **options)
            return
        from numbacnn.train.rates import parse

        phases = {"freeze_epochs": settings["freeze_epochs"], "epochs": settings["epochs"]}
        self.model.fine_tune(self.train, self.valid, **phases, lr=parse(settings["lr"]), domain=settings["domain"], **options)

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
        from numbacnn.train.rates import parse

        from .beginning import Beginning

        begun = Beginning.of(self.folder, self.settings | {"loss": multi_label.chosen_loss(self.settings, self.given)}, self.given)
        settings = begun.settings
        optimizer, loss = registry.optimizers[settings["optimizer"]](), registry.losses[settings["loss"]]()
        train, valid = self._data(settings, begun.preprocess)
        if begun.model is not None and begun.model.classes is not None:
            self._same_classes(begun.model, train, plain(settings["model"]))
        model = begun.build(train.classes)
        lr = None if settings["lr"] is None else parse(settings["lr"])
        metrics = multi_label.METRICS[train.task]
        model.compile(optimizer, loss, metrics, device=self.device, threads=self.threads, lr=lr, domain=settings["domain"])
        return Job(model, train, valid, settings, note=begun.note)

    def resume(self) -> Job:
        """The run goes on as its checkpoint says."""
        from numbacnn.loading import restore
        from numbacnn.store import origins
        from numbacnn.train.run_folder import RunFolder

        keeper, file = RunFolder.resume(self.run)
        settings = keeper.settings
        given = self.given - {"model"} if self.settings["model"] == AUTO else self.given
        for name in sorted(given.difference(MAY_CHANGE)):
            if self.settings[name] != settings.get(name):
                option = "--" + name.replace("_", "-")
                old, new = _shown(settings.get(name)), _shown(self.settings[name])
                raise ConfigError(
                    f"--resume goes on with {option} {old}, which {plain(self.run)} was started with, not {new}: leave out {option}, or start a new run"
                )
        multi_label.check_resumed(self.settings, settings, self.run)
        settings = settings | {name: self.settings[name] for name in self.given.intersection(MAY_CHANGE)}
        if whole(settings) < keeper.epoch:
            done = f"{plain(self.run)} has been trained for {keeper.epoch} epochs already"
            raise ConfigError(f"--epochs {settings['epochs']}: {done}; --epochs {settings['epochs'] + keeper.epoch + 1 - whole(settings)} or more goes on")
        keeper.settings, model = settings, restore(file)
        origins.find("augmentations", settings["augment"], file.versions, file.path)
        train, valid = self._data(settings, model.preprocess)
        self._same_classes(model, train, plain(self.run))
        model.network.use(self.device, self.threads)
        return Job(model, train, valid, settings, keeper.epoch, keeper)

    def _data(self, settings: dict[str, Any], preprocess: Any) -> tuple[Any, Any]:
        import numbacnn as nn

        chosen = {name: settings[name] for name in ("valid", "batch_size", "augment", "seed")}
        return nn.image_folder(self.folder, preprocess=preprocess, labels=settings.get("labels"), **chosen)

    def _same_classes(self, model: Any, train: Any, where: str) -> None:
        if tuple(model.classes) != tuple(train.classes):
            unknown, missing = (sorted(set(a) - set(b)) for a, b in ((train.classes, model.classes), (model.classes, train.classes)))
            parts = [f"{what} {', '.join(names[:SHOWN])}" for what, names in (("the model does not know", unknown), ("the folder lacks", missing)) if names]
            way_out = "give a folder with the model's classes, or start a new model"
            raise ConfigError(f"{where} and {plain(self.folder)} have different classes: {'; '.join(parts) or 'in another order'}; {way_out}")


def _shown(value: Any) -> str:
    return show_size(value) if isinstance(value, list) else plain(value)
