"""Every registered loss: oracle, gradient, extreme logits, targets."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from play import value_and_gradient

from numbacnn import registry
from numbacnn.errors import ConfigError, DataError, ShapeError
from numbacnn.losses.base import Pointwise
from numbacnn.losses.binary_cross_entropy import BinaryCrossEntropy
from numbacnn.losses.binary_focal import BinaryFocal
from numbacnn.losses.cross_entropy import CrossEntropy
from numbacnn.losses.focal import Focal
from numbacnn.losses.huber import Huber
from numbacnn.losses.mae import MeanAbsoluteError
from numbacnn.losses.mse import MeanSquaredError

CLASSES = sorted({registry.losses[name] for name in registry.losses} | {BinaryFocal}, key=lambda c: c.__name__)
EXAMPLES = [(loss, shape) for cls in CLASSES for loss, shape in cls.examples()]


def case(loss, shape, batch, seed, hard=True):
    """Logits or values, a dense target and a share for each sample."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(batch, *shape)) * 2
    if loss.link == "softmax":
        labels = rng.integers(shape[-1], size=(batch, *shape[:-1]))
        t = np.eye(shape[-1])[labels]
        if not hard:
            t = (t + rng.dirichlet(np.ones(shape[-1]), size=labels.shape)) / 2
    elif loss.link == "sigmoid":
        t = rng.uniform(size=z.shape)
        t = t.round() if hard else t
    else:
        t = z + rng.choice([-1, 1], z.shape) * rng.uniform(0.02, 0.9, z.shape) * getattr(loss, "delta", 1.0) * rng.choice([1, 2.5], z.shape)
    return z, t, rng.uniform(0.1, 2, batch)


def check(loss, shape, batch, seed, hard):
    z, t, weight = case(loss, shape, batch, seed, hard)
    y, dz = value_and_gradient(loss, z, t, weight, np.float64)
    np.testing.assert_allclose(y, getattr(reference, type(loss).__name__)(loss, z, t), rtol=1e-9, atol=1e-12)
    direction = np.random.default_rng(seed + 1).normal(size=z.shape)
    step = 1e-5
    ahead, back = (value_and_gradient(loss, z + s * direction, t, weight, np.float64)[0] for s in (step, -step))
    numeric, exact = (weight * (ahead - back)).sum() / (2 * step), (dz * direction).sum()
    scale = np.sqrt((dz**2).sum() * (direction**2).sum())
    assert abs(numeric - exact) <= 1e-6 * max(scale, 1e-3)


@pytest.mark.parametrize(("loss", "shape"), EXAMPLES, ids=lambda v: str(v))
def test_oracle_and_gradient(loss, shape):
    for batch, hard in ((1, True), (3, False)):
        check(loss, shape, batch, 0, hard)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_drawn_configurations(cls, data):
    fields = {}
    for name, field in cls.__dataclass_fields__.items():
        low, high = field.metadata.get("low"), field.metadata.get("high")
        if field.metadata.get("draw") and low is not None:
            fields[name] = data.draw(st.floats(low, high, allow_subnormal=False))
    base, shape = data.draw(st.sampled_from(list(cls.examples())))
    task = {"task": base.task} if hasattr(base, "task") else {}
    check(cls(**fields, **task), shape, data.draw(st.integers(1, 4)), data.draw(st.integers(0, 999)), data.draw(st.booleans()))


@pytest.mark.parametrize(("loss", "shape"), EXAMPLES, ids=lambda v: str(v))
def test_float32_agrees(loss, shape):
    z, t, weight = (a.astype(np.float32) for a in case(loss, shape, 5, 3))
    y, dz = value_and_gradient(loss, z, t, weight, np.float32)
    y64, dz64 = value_and_gradient(loss, *(a.astype(float) for a in (z, t, weight)), np.float64)
    assert y.dtype == dz.dtype == np.float32
    np.testing.assert_allclose(y, y64, rtol=3e-6, atol=1e-7)
    np.testing.assert_allclose(dz, dz64, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("loss", "shape"), [e for e in EXAMPLES if e[0].link], ids=lambda v: str(v))
def test_saturated_outputs_still_learn(loss, shape, dtype):
    for size in (50.0, 1e4):
        _, t, weight = case(loss, shape, 4, 1)
        wrong = size * (1 - 2 * t)  # sure of the opposite of what is right
        y, dz = value_and_gradient(loss, wrong, t, weight, dtype)
        assert np.isfinite(y).all() and np.isfinite(dz).all()
        plain = getattr(loss, "alpha", None) is None
        if plain:
            assert (y > size / 20).all()
        assert (np.abs(dz).reshape(len(dz), -1).max(1) > 1e-3).all()
        gain = (dz * (2 * t - 1)).reshape(len(dz), -1).sum(1)  # along the way to the right answer, the loss falls
        assert (gain < 0).all()
        right, dz = value_and_gradient(loss, -wrong, t, weight, dtype)
        assert np.isfinite(right).all() and np.isfinite(dz).all()
        if not getattr(loss, "label_smoothing", 0):
            assert (right <= 1e-9).all() and (np.abs(dz) <= 1e-9).all()


def test_wide_range_matches_exact_values():
    z = np.array([[1e4, -1e4, 0.0]])
    y, dz = value_and_gradient(CrossEntropy(), z, np.array([[0.0, 1, 0]]), np.ones(1), np.float32)
    assert y[0] == 2e4 and dz.tolist() == [[1, -1, 0]]
    y, dz = value_and_gradient(BinaryCrossEntropy(), np.array([[1e4], [-1e4]]), np.array([[0.0], [1]]), np.ones(2), np.float32)
    assert y.tolist() == [1e4, 1e4] and dz.tolist() == [[1], [-1]]


def test_nan_stays_nan():
    for loss, shape in EXAMPLES:
        z, t, weight = case(loss, shape, 2, 0)
        z.reshape(2, -1)[0, -1] = np.nan
        y, dz = value_and_gradient(loss, z, t, weight, np.float32)
        assert np.isnan(y[0]) and np.isnan(dz[0]).any() and np.isfinite(y[1]) and np.isfinite(dz[1]).all(), loss


def test_focal_without_focus_is_cross_entropy():
    z, t, weight = case(CrossEntropy(), (5,), 4, 2)
    for focal, plain in ((Focal(0.0, None), CrossEntropy()), (Focal(0.0, None, "multi_label"), BinaryCrossEntropy())):
        for a, b in zip(value_and_gradient(focal, z, t, weight, np.float64), value_and_gradient(plain, z, t, weight, np.float64), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
    assert (Focal().link, Focal(task="multi_label").link, BinaryFocal().link) == ("softmax", "sigmoid", "sigmoid")


def test_a_wrong_gradient_is_caught():
    class Wrong(MeanSquaredError):
        @staticmethod
        def df(z, t):
            return 2.001 * (z - t)

    Wrong.__name__ = "MeanSquaredError"
    with pytest.raises(AssertionError):
        check(Wrong(), (4,), 3, 0, True)


def test_a_loss_of_ones_own():
    class Quartic(Pointwise):
        @staticmethod
        def f(z, t):
            return (z - t) ** 4

        @staticmethod
        def df(z, t):
            return 4 * (z - t) ** 3

    z, t = np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])
    y, dz = value_and_gradient(Quartic(), z, t, np.ones(1), np.float32)
    assert y[0] == 8.5 and dz.tolist() == [[2, -16]] and y.dtype == np.float32


# ---- probabilities and targets, on the host


def test_activate():
    z = np.array([[1e4, -1e4, 0], [1, 2, 3]], np.float32)
    p = CrossEntropy().activate(z)
    assert p.dtype == np.float32 and p[0].tolist() == [1, 0, 0]
    np.testing.assert_allclose(p[1], np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum(), rtol=1e-6)
    p = Focal(task="multi_label").activate(z)
    assert p.dtype == np.float32 and p[0].tolist() == [1, 0, 0.5]
    np.testing.assert_allclose(p[1], 1 / (1 + np.exp([-1.0, -2, -3])), rtol=1e-6)
    assert MeanSquaredError().activate(z) is z


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(), BinaryCrossEntropy(), BinaryFocal()], ids=str)
def test_labels_become_dense(loss):
    want = [[0, 0, 1], [1, 0, 0]]
    for y in ([2, 0], [[2], [0]], np.array([2.0, 0.0]), np.array(want), np.array(want, bool), np.array([2, 0], np.uint8)):
        dense = loss.target(y, (3,))
        assert dense.dtype == np.float32 and dense.tolist() == want
    images = np.array([[[0, 1]], [[2, 2]]])
    dense = loss.target(images, (1, 2, 3))
    assert dense.shape == (2, 1, 2, 3) and (dense.argmax(-1) == images).all()
    assert (loss.target(images[..., None], (1, 2, 3)) == dense).all()


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), MeanSquaredError(), MeanAbsoluteError(), Huber()], ids=str)
def test_one_output_takes_flat_targets(loss):
    assert loss.target([0, 1, 1], (1,)).tolist() == loss.target([[0], [1], [1]], (1,)).tolist() == [[0], [1], [1]]
    assert loss.target(np.ones((2, 3, 4)), (3, 4, 1)).shape == (2, 3, 4, 1)
    assert loss.target([[1, 1, 0]], (3,)).tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(
    ("loss", "y", "shape", "words"),
    [
        (CrossEntropy(), [0, 3], (3,), r"CrossEntropy.* label at \(1,\) is 3.* 3 classes"),
        (CrossEntropy(), [0, -1], (3,), r"\(1,\) is -1"),
        (CrossEntropy(), [0, 1.5], (3,), r"is 1\.5.* integers"),
        (CrossEntropy(), [0, np.nan], (3,), "is nan"),
        (CrossEntropy(name="head"), [[0, 1]], (3,), r"loss head: .*\(1, 2\).*\('N', 3\)"),
        (CrossEntropy(), [[1, 1, 0]], (3,), r"sums to 2 at \(0,\).*binary_cross_entropy"),
        (CrossEntropy(), [[0, 0, 0]], (3,), "sums to 0"),
        (CrossEntropy(), [[np.nan, 0, 1]], (3,), r"\(0, 0\) is nan"),
        (CrossEntropy(), [[-1, 1, 1]], (3,), "from 0 to 1"),
        (CrossEntropy(), ["cat", "dog"], (3,), "array of numbers.*cat"),
        (CrossEntropy(), 1, (3,), "one entry a sample"),
        (Focal(), [4], (3,), "Focal.* is 4"),
        (BinaryCrossEntropy(), [[0, 2.0]], (2,), r"\(0, 1\) is 2.0.*from 0 to 1"),
        (BinaryCrossEntropy(), [7], (2,), "is 7"),
        (MeanSquaredError(), [0.0, 1.0], (3,), "one-hot.*cross_entropy"),
        (MeanSquaredError(), [[np.inf]], (1,), "must be finite"),
        (MeanSquaredError(), [[1e300]], (1,), "must be finite"),
        (Huber(), np.zeros((2, 4)), (3,), r"Huber.*\(2, 4\)"),
    ],
)
def test_bad_targets_are_named(loss, y, shape, words):
    with pytest.raises(DataError, match=words):
        loss.target(y, shape)


def test_bad_configurations_are_named():
    for make in (
        lambda: CrossEntropy(1.0),
        lambda: CrossEntropy(-0.1),
        lambda: CrossEntropy(class_weight=(1, -1)),
        lambda: BinaryCrossEntropy(2.0),
        lambda: BinaryCrossEntropy(pos_weight=-1),
        lambda: BinaryCrossEntropy(pos_weight=(1, np.nan)),
        lambda: Huber(0),
        lambda: Focal(-1),
        lambda: Focal(alpha=2),
        lambda: Focal(task="both"),
    ):
        with pytest.raises(ConfigError):
            make()
    for loss, shape, words in (
        (CrossEntropy(), (1,), "binary_cross_entropy"),
        (CrossEntropy(class_weight=(1, 2)), (3,), "2 factors for 3 classes"),
        (BinaryCrossEntropy(pos_weight=(1, 2)), (3,), "2 factors for 3 outputs"),
    ):
        with pytest.raises(ShapeError, match=words):
            loss.output_shape(shape, shape)
    with pytest.raises(ShapeError, match="one shape"):
        MeanSquaredError().output_shape((3,), (4,))
    assert CrossEntropy(class_weight=[1, 2]) == CrossEntropy(class_weight=(1.0, 2.0))
