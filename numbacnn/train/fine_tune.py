"""The two phases of fine-tuning: first the head alone, then everything, the early layers more slowly."""

from typing import Any

from ..errors import ConfigError
from . import rates, schedules
from .callbacks import Callback

SLOWER = 100.0  # the first group's rate is the head's divided by this, in the second phase (Howard and Gugger, fastai, 2020)


class Phases(Callback):
    """Freezes, unfreezes and sets learning rates at the beginning of each phase. Which one it is follows from the epoch, so that a run can be resumed.

    Files that are saved while the head learns alone say what holds afterwards: who goes on from one does not train the head only.
    """

    def __init__(self, model: Any, freeze_epochs: int, epochs: int, lr: Any, domain: str, position: dict | None, moms: Any = None):
        if freeze_epochs < 0 or epochs < 0 or not freeze_epochs + epochs:
            raise ConfigError(f"freeze_epochs={freeze_epochs}, epochs={epochs}: both must be at least 0, and one of them more")
        lr = model.session.learning_rates[0] if lr is None else lr
        groups = model.layer_groups()
        single = not isinstance(lr, (list, tuple, slice))
        self.head = rates.spread(lr, groups)[-1]
        self.all = slice(self.head / 2 / SLOWER, self.head / 2) if single and self.head else lr
        rates.spread(self.all, groups, domain)  # refuses now what cannot work later
        self.freeze_epochs, self.domain, self.position = freeze_epochs, domain, position
        self.phase: int | None = None
        total = freeze_epochs + epochs
        parts = [(freeze_epochs / total, schedules.OneCycle(moms=moms)), (1.0, schedules.OneCycle(start=0.3, div=5.0, moms=moms))]
        self.schedule = schedules.Phases(tuple(parts[not freeze_epochs : 2 if epochs else 1]))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        phase = int(epoch >= self.freeze_epochs)
        if phase == self.phase:
            return
        self.phase, model = phase, self.model
        inside = self.position and self.position["epoch"] == epoch and self.position["batch"]
        if epoch in (0, self.freeze_epochs) and not inside:
            model.session.clear()
        self._all_learn()
        if phase:
            return
        model.afterwards = model.training_facts()
        model.freeze()
        for owner in model.layer_groups()[-1]:
            model.handles[owner].trainable = True
        model.set_learning_rate(self.head)

    def _all_learn(self) -> None:
        self.model.afterwards = None
        self.model.unfreeze()
        self.model.set_learning_rate(self.all, self.domain)

    def on_train_end(self, logs: dict | None = None) -> None:
        """What follows begins with all layers, also where there was no second phase."""
        self._all_learn()

    def on_train_error(self, error: BaseException) -> None:
        self.model.afterwards = None
