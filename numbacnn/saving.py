"""What a model does with files: save in any format, and take weights from any."""

import warnings
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .store import files, native, weights
from .train.callbacks import to_file


class Saving:
    """Base of Model: its files."""

    def save(self, path: str | Path, format: str | None = None, *, checkpoint: bool = False, loop: dict | None = None) -> None:
        """Write the model to a file, whole or not at all.

        format  "numbacnn": HDF5 with everything that belongs to the model; checkpoint=True adds the optimizer's state and `loop`
                "keras": a .keras archive for Keras 3;  "keras_h5": one .h5 that Keras 3 and tf.keras 2 open
                None: "keras" for a path that ends in .keras, else "numbacnn"
        """
        kind = files.format_of(path, format)
        if not kind.whole:
            raise ConfigError(f"{path}: {kind.title} holds weights alone: call save_weights, or give a whole model's format (numbacnn, keras, keras_h5)")
        if checkpoint and kind != "numbacnn":
            raise ConfigError(f"{path}: checkpoint=True is for numbacnn's own files, not for {kind.title}")
        files.write(path, self.contents(checkpoint, loop), kind)

    def training_facts(self) -> dict[str, Any]:
        """What a file says of training: which layers, and how the model is compiled."""
        return {"trainable": {owner: h.trainable for owner, h in self.handles.items()}, "compiled": self._compiled and dict(self._compiled)}

    def contents(self, checkpoint: bool = False, loop: dict | None = None) -> native.ModelFile:
        """What a file of the model holds; the arrays are the model's own."""
        session = self._session
        slots, places = session.export() if session and checkpoint else ({}, [])
        states, arrays = to_file(self.callback_states if checkpoint else {})
        training = self.training_facts() if checkpoint or self.afterwards is None else self.afterwards
        facts = {"name": self.name, "splits": list(self.splits), "thresholds": list(self._thresholds or ()), "keras_layers": self.keras_layers}
        return native.ModelFile(
            graph=self.graph,
            weights=self.network.weights(),
            trainable=training["trainable"],
            preprocess=self.preprocess.to_json() if self.preprocess else None,
            classes=self.classes,
            task=self.task,
            compiled=training["compiled"],
            extra={name: value for name, value in facts.items() if value},
            choices=self.network.suggestions | self.network.choices or None,
            optimizer=slots | arrays or None,
            loop=session.counts() | {"places": places, "callbacks": states, **(loop or {})} if session and checkpoint else None,
        )

    def save_weights(self, path: str | Path, format: str | None = None) -> None:
        """Write the weights, for `load_weights` here or in Keras.

        format  "weights_h5": Keras' .weights.h5;  "legacy_weights": Keras' older layout;  "numbacnn": a whole model of ours
                None: "weights_h5" for a path that ends in .weights.h5, else "numbacnn"
        """
        kind = files.format_of(path, format)
        if kind.whole and kind != "numbacnn":
            raise ConfigError(f"{path}: {kind.title} holds a whole model: call save, or give a format of weights (weights_h5, legacy_weights, numbacnn)")
        files.write(path, self.contents(), kind)

    def load_weights(self, path: str | Path, by_name: bool = False, skip_mismatch: bool = False, *, names: Any = None) -> None:
        """Take the weights from a file: of numbacnn, of Keras (.h5, .weights.h5, .keras, whole models too), or of PyTorch (.pth).

        As in Keras, the k-th layer with weights takes those of the file's k-th, and names decide where they tell more.
        by_name        layers of the same name take theirs; the others, on both sides, are left out
        skip_mismatch  layers that do not fit keep what they have, with a warning that lists them
        names          for PyTorch: {our layer: their module} where neither names nor order tell

        Raises FileError that lists every missing, extra and mis-shaped weight; then nothing is changed.
        """
        loaded = weights.load(path, self.graph, by_name, skip_mismatch, names=names, layers=self.keras_layers)
        if loaded.skipped:
            warnings.warn(f"{path}: left out, since it does not fit: {loaded.skipped}", stacklevel=2)
        with self.network.lock:
            for place, array in loaded.arrays.items():
                owner, _, name = place.rpartition("/")
                self.handles[owner].put(name, array)
