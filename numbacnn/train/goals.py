"""What a model is trained for: losses and metrics of its outputs, what they see of a batch, and their sums over many."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..graph import Shape


@dataclass
class Totals:
    """Sums over the batches seen so far, from which losses and metrics follow."""

    samples: int = 0
    loss: float = 0.0
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts: dict[str, Any] = field(default_factory=dict)  # name of a metric -> what it has added up

    def to_json(self) -> dict:
        return {
            "samples": self.samples,
            "loss": self.loss,
            "losses": self.losses.tolist(),
            "counts": {k: np.asarray(v).tolist() for k, v in self.counts.items()},
        }

    @classmethod
    def from_json(cls, record: dict) -> "Totals":
        return cls(record["samples"], record["loss"], np.array(record["losses"]), {k: np.array(v) for k, v in record["counts"].items()})


class Goals:
    """outputs: their names; links: what the model's own last layers make of logits; losses, loss_weights: one for each output; metrics: for each a list."""

    def __init__(self, outputs: Sequence[str], links: list[str | None], losses: list, loss_weights: list[float], metrics: list[list]):
        self.outputs, self.links = outputs, links
        self.losses, self.loss_weights, self.metrics = losses, loss_weights, metrics
        self.names = [self._names(i, own) for i, own in enumerate(metrics)]
        for output, loss, link in zip(outputs, losses, links, strict=True):
            if loss is not None and loss.link and link and link != loss.link:
                raise ConfigError(
                    f"output {output!r} ends in {link}, but loss {type(loss).__name__} goes with {loss.link}: change the last activation or the loss"
                )

    def aims(self, y: Any, weight: Any, n: int, shapes: dict[str, Shape], class_weight: dict[int, float] | None = None) -> tuple[list, list]:
        """(targets, weights of samples) for each output, None where it has no loss, from a batch of n samples; shapes: of the outputs."""
        names = self.outputs
        if isinstance(y, dict):
            if unknown := set(y) - set(names):
                raise DataError(f"y names {', '.join(sorted(map(str, unknown)))}; the model's outputs are {', '.join(names)}")
            y = [y.get(name) for name in names]
        elif len(names) == 1:
            y = [y]
        if len(y) != len(names):
            raise DataError(f"the model has {len(names)} outputs ({', '.join(names)}), y has {len(y)} parts")
        targets, weights = [], []
        for name, value, loss in zip(names, y, self.losses, strict=True):
            if loss is None:
                targets.append(None)
                weights.append(None)
                continue
            if value is None:
                raise DataError(f"output {name!r} has a loss but y gives nothing for it")
            target = loss.target(np.asarray(value), shapes[name])
            if len(target) != n:
                raise DataError(f"x has {n} samples, y {len(target)}")
            w = np.ones(n) if weight is None else np.asarray(weight, np.float64)
            if w.shape != (n,):
                raise DataError(f"sample_weight has shape {w.shape}; it needs one number for each of the {n} samples")
            if class_weight is not None:
                w = w * self._class_weight(name, target, class_weight)
            if not np.isfinite(w).all():
                bad = int(np.isfinite(w).argmin())
                raise DataError(f"output {name!r}: sample {bad} of the batch has weight {w[bad]}: sample_weight and class_weight must be finite numbers")
            targets.append(target)
            weights.append(w)
        return targets, weights

    @staticmethod
    def _class_weight(name: str, target: np.ndarray, class_weight: dict[int, float]) -> np.ndarray:
        if target.ndim != 2 or (target.shape[1] > 1 and not np.allclose(target.sum(1), 1)):
            raise ConfigError(f"class_weight goes with one label a sample, but output {name!r} has targets of shape {target.shape}")
        labels = target.argmax(1) if target.shape[1] > 1 else target[:, 0].astype(int)
        return np.array([class_weight.get(int(k), 1.0) for k in labels])

    def shares(self, weights: list) -> list:
        """What each sample counts in the mean loss, for each output."""
        return [None if w is None else w * (factor / len(w)) for w, factor in zip(weights, self.loss_weights, strict=True)]

    def add(self, totals: Totals, result: Any, targets: list, shares: list, training: bool = False) -> bool:
        """Add a batch's result to the sums; whether its loss is finite: in training, metrics are not asked for where it is not."""
        n = len(result.outputs[0])
        each = np.array([0.0 if loss is None else float((loss.astype(np.float64) * s).sum()) for loss, s in zip(result.losses, shares, strict=True)])
        loss = float(each.sum()) + result.penalty
        totals.samples += n
        totals.loss += loss * n
        totals.losses = (totals.losses if len(totals.losses) else np.zeros(len(each))) + each * n
        fine = bool(np.isfinite(loss))
        for i, (output, target) in enumerate(zip(result.outputs, targets, strict=True)):
            if target is None or not self.metrics[i] or (training and not fine):
                continue
            loss_of, link = self.losses[i], self.links[i]
            prediction = output if link or not loss_of.link else loss_of.activate(output)
            for metric, key in zip(self.metrics[i], self.names[i], strict=True):
                if training and not metric.in_training:
                    continue
                counted = metric.count(target, prediction, np.ones(len(target)), loss_of.link or link)  # unweighted, as in Keras
                totals.counts[key] = metric.add(totals.counts.get(key), counted)
        return fine

    def _names(self, output: int, metrics: list) -> list[str]:
        """What columns call an output's metrics: several of one name become name, name_1, …, as in Keras."""
        names: list[str] = []
        for metric in metrics:
            base = metric.name if len(self.outputs) == 1 else f"{self.outputs[output]}_{metric.name}"
            names.append(next(n for i in range(len(metrics)) if (n := f"{base}_{i}" if i else base) not in names))
        return names

    def measured(self, training: bool = False) -> list[str]:
        """Names of the metrics that training or evaluation gives, without prefix. The first one of all tells which epoch is the best."""
        pairs = [pair for metrics, names in zip(self.metrics, self.names, strict=True) for pair in zip(metrics, names, strict=True)]
        return [name for metric, name in pairs if metric.in_training or not training]

    def logs(self, totals: Totals) -> dict[str, float]:
        """Loss and metrics of the batches summed so far."""
        n = max(totals.samples, 1)
        logs = {"loss": totals.loss / n}
        if len(self.losses) > 1:
            logs |= {f"{name}_loss": float(value / n) for name, value, loss in zip(self.outputs, totals.losses, self.losses, strict=False) if loss is not None}
        for metrics, names in zip(self.metrics, self.names, strict=True):
            for metric, key in zip(metrics, names, strict=True):
                if key in totals.counts:
                    logs[key] = metric.result(totals.counts[key])
        return logs
