"""Checks for registered models.

from numbacnn.testing import check_model
def test_my_model():
    check_model(my_model, (32, 32, 3))
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import loading
from ..model import Input, Model
from ..models.architecture import as_architecture


def check_model(model: Callable, input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 5, seed: int = 0, steps: int = 10, **options: Any) -> Model:
    """The examination of a function (symbol, classes, **options) -> symbol, or an Architecture; raises AssertionError where it fails.

    Logits for any number of classes; `splits` (one at least: options may leave some out) and `pool` name layers that are there; the same weights
    from the same seed; an image by itself gives what it gives in a batch; a few steps lower the loss on one batch; it comes back from a file, bit
    by bit. Returns the model, trained.
    """
    architecture = as_architecture(model)

    def make(classes: int) -> Model:
        source = Input(tuple(input_shape))
        return Model(source, architecture(source, classes, **options), "examined", seed)

    for count in (classes, 2):
        made = make(count)
        (shape,) = {made.graph.shapes()[n] for n in made.graph.outputs}
        assert shape == (count,), f"for {count} classes the output has shape {shape}, not {(count,)}"
    made = make(classes)
    last = made.graph[made.graph.outputs[0]].layer
    assert last.link is None, f"the model ends in {type(last).__name__}: it must give logits, which losses and predictions work from"
    names = list(made.handles)
    assert architecture.splits_in(names) or not architecture.splits, f"splits={architecture.splits}: no layers' names begin so ({', '.join(names)})"
    assert not architecture.pool or architecture.pool in names, f"pool={architecture.pool!r} names no layer ({', '.join(names)})"
    for a, b in zip(made.get_weights(), make(classes).get_weights(), strict=True):
        assert np.array_equal(a, b), "the same seed gives other weights: draw them with the layers' initializers only"

    random = np.random.default_rng(seed)
    x, y = random.standard_normal((4, *input_shape)).astype(np.float32), np.arange(4) % classes
    whole, alone = made.predict(x), made.predict(x[1:2])
    assert np.isfinite(whole).all(), "outputs are not finite"
    np.testing.assert_allclose(alone[0], whole[1], rtol=1e-4, atol=1e-5, err_msg="an image gives something else in a batch than by itself")
    made.compile("adam", "cross_entropy")
    losses = [made.train_on_batch(x, y)["loss"] for _ in range(steps)]
    assert np.isfinite(losses).all() and min(losses[1:]) < losses[0], f"training on one batch does not lower its loss: {losses}"
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder, "model.h5"))
        again = loading.load(Path(folder, "model.h5"))
    assert np.array_equal(again.predict(x), made.predict(x)), "the model gives something else after saving and loading"
    return made
