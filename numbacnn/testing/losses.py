"""Checks for losses.

from numbacnn.testing import check_loss
def test_my_loss():
    check_loss(MyLoss(0.5), (3,))
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import registry
from ..backends import open_backend
from ..graph import Graph, Node
from ..plan import Plan
from .stored import check_stored

STEP = 1e-4  # of the central difference, fourth order
MARGIN = 1e-2  # prediction - target stays this far from kinks


def check_loss(loss: Any, shape: tuple[int, ...], batch: int = 3, seed: int = 0, oracle: Callable | None = None, tolerance: float = 1e-6) -> None:
    """The examination of one loss on predictions of this shape (without the batch axis); raises AssertionError with the values where it fails.

    Configuration round trip; targets as users give them; gradient against central differences in float64; float32 against float64; each sample
    by itself, with its share; NaN neither hidden nor spread; finite for the surest wrong logits; and values against
    `oracle(loss, prediction, target)` -> (N,). `kinks` of the loss are values of prediction - target where its derivative jumps.
    """
    check_stored(loss)
    assert loss.output_shape(shape, shape) == (), f"{loss}: output_shape() must be (), one number a sample, not {loss.output_shape(shape, shape)}"
    z, t, share = draw_case(loss, shape, batch, seed)
    dense = loss.target(t.astype(np.float32), shape)
    assert dense.shape == t.shape and dense.dtype == np.float32, f"{loss}: target() gave {dense.dtype} {dense.shape} for {t.shape}"
    y, dz = value_and_gradient(loss, z, t, share)
    assert np.isfinite(y).all() and np.isfinite(dz).all(), f"{loss}: values {y} or gradients are not finite"
    if oracle is not None:
        np.testing.assert_allclose(y, oracle(loss, z, t), rtol=1e-9, atol=1e-12, err_msg=f"{loss}: differs from the oracle")
    _check_gradient(loss, z, t, share, dz, seed, tolerance)
    _check_float32(loss, z, t, share)
    for i in range(batch):
        one, done = value_and_gradient(loss, z[i : i + 1], t[i : i + 1], share[i : i + 1])
        np.testing.assert_allclose(np.r_[one, done.ravel()], np.r_[y[i], dz[i].ravel()], rtol=1e-9, atol=1e-12, err_msg=f"{loss}: sample {i} depends on others")
    _, without = value_and_gradient(loss, z, t, np.r_[0.0, share[1:]])
    assert not without[0].any(), f"{loss}: a sample whose share is 0 has the gradient {without[0]}"
    _check_extremes(loss, z, t, share)


def draw_case(loss: Any, shape: tuple[int, ...], batch: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, dense targets as the loss's link wants them, and each sample's share of the mean."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(batch, *shape)) * 2
    if loss.link == "softmax":
        t = np.eye(shape[-1])[rng.integers(shape[-1], size=(batch, *shape[:-1]))]
    elif loss.link == "sigmoid":
        t = rng.integers(0, 2, z.shape).astype(float)
    else:
        e = rng.choice([-1, 1], z.shape) * rng.uniform(0.02, 2, z.shape)
        for kink in (0.0, *loss.kinks):
            near = np.abs(e - kink) < MARGIN
            e[near] = kink + np.where(e[near] < kink, -1.5, 1.5) * MARGIN
        t = z - e
    return z, t, rng.uniform(0.1, 2, batch)


def value_and_gradient(
    loss: Any, z: np.ndarray, t: np.ndarray, share: np.ndarray, dtype: Any = np.float64, backend: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """(the loss of each sample, gradient of their sum weighted with the shares by the prediction z)."""
    source = Node("x", registry.layers["Input"](z.shape[1:]))
    plan = Plan(Graph((source,), ("x",), ("x",)), len(z), {}, backend or open_backend("cpu"), training=True, losses=[loss], dtype=dtype)
    result = plan.run([z], [t], [share])
    return result.losses[0], plan.input_gradient("x")


def _check_gradient(loss: Any, z: np.ndarray, t: np.ndarray, share: np.ndarray, dz: np.ndarray, seed: int, tolerance: float) -> None:
    for k in range(2):
        direction = np.random.default_rng([seed, k]).uniform(-1, 1, z.shape)

        def at(scale: float, direction=direction) -> float:
            return float(share @ value_and_gradient(loss, z + scale * STEP * direction, t, share)[0])

        numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * STEP)
        exact = float((dz * direction).sum())
        error = abs(numeric - exact) / max(abs(numeric), abs(exact), 0.1 * float(np.linalg.norm(dz)), 1e-6)
        assert error <= tolerance, (
            f"{loss} on {z.shape}: the gradient along a random direction is {exact:.9g}, central differences give {numeric:.9g} (relative error {error:.1e})"
        )


def _check_float32(loss: Any, z: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    z, t, share = (a.astype(np.float32) for a in (z, t, share))
    for what, single, double in zip(
        ("values", "gradients"), value_and_gradient(loss, z, t, share, np.float32), value_and_gradient(loss, z, t, share), strict=True
    ):
        assert single.dtype == np.float32, f"{loss}: float32 {what} are {single.dtype}"
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5, err_msg=f"{loss}: float32 {what} differ from float64")


def _check_extremes(loss: Any, z: np.ndarray, t: np.ndarray, share: np.ndarray) -> None:
    spoilt = z.copy()
    spoilt.reshape(len(z), -1)[0, -1] = np.nan
    y, dz = value_and_gradient(loss, spoilt, t, share, np.float32)
    assert np.isnan(y[0]) and np.isnan(dz[0]).any(), f"{loss}: a NaN in the prediction is hidden: loss {y[0]}"
    assert np.isfinite(y[1:]).all() and np.isfinite(dz[1:]).all(), f"{loss}: a NaN in one sample reaches others: {y}"
    if loss.link:
        for size in (50.0, 1e4):
            y, dz = value_and_gradient(loss, size * (1 - 2 * t), t, share, np.float32)
            assert np.isfinite(y).all() and np.isfinite(dz).all(), f"{loss}: logits of ±{size:g} give the loss {y}"
