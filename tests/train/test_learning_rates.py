"""The learning-rate range test: curve, suggestions, files, and a model that is afterwards as it was."""

import csv
import importlib.util
import sys

import numpy as np
import pytest
from little import network, same, samples
from PIL import Image

import numbacnn as nn
from numbacnn.train.lr_find import LearningRates


def compiled(**options):
    model = network(dropout=0.2)
    model.compile(nn.Adam(0.01), "cross_entropy", metrics=["accuracy"], **options)
    return model


def test_the_curve():
    model = compiled(lr=[1e-4, 1e-3, 1e-2])
    found = model.lr_find(*samples(), start=1e-5, end=100, steps=60, batch_size=8)
    assert np.allclose(np.diff(np.log10(found.rates)), 7 / 59) and found.rates[0] == 1e-5
    assert len(found.rates) == len(found.losses) <= 60 and np.isfinite(found.losses).all()
    assert 1e-4 < found.suggestion == found.valley < 10 and found.steepest in found.rates
    assert model.session.learning_rates == [1e-2, 1e-4, 1e-3]
    assert "suggestion" in repr(found)
    again = compiled(lr=[1e-4, 1e-3, 1e-2]).lr_find([samples()] * 3, start=1e-5, end=100, steps=60)
    assert again.rates[0] == 1e-5


def test_it_stops_where_the_loss_diverges():
    model = network(normalized=False)
    model.compile(nn.SGD(), "cross_entropy")
    found = model.lr_find(*samples(), start=1e-3, end=1e9, steps=80, batch_size=8)
    assert 5 <= len(found.rates) < 80 and found.losses[-1] <= 4 * min(found.losses)
    with pytest.raises(nn.ConfigError, match=r"the loss diverged after \d steps, at a learning rate of .*: begin lower than start=1e\+30"):
        model.lr_find(*samples(), start=1e30, end=1e36, steps=10)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("steps_before", [0, 2])
def test_everything_is_as_before(steps_before):
    x, y = samples()
    models = [compiled(lr=slice(1e-3, 1e-2)) for _ in range(2)]
    for model in models:
        for _ in range(steps_before):
            model.train_on_batch(x[:8], y[:8])
    tested, untouched = models
    before, state, counts = tested.get_weights(), tested.session.state(), tested.session.counts()
    tested.lr_find(x, y, start=1e-4, end=10, steps=12, batch_size=8)
    assert same(tested.get_weights(), before) and tested.session.counts() == counts
    now = tested.session.state()
    assert all(np.array_equal(now[key], value) for key, value in state.items())
    assert all(not value.any() for key, value in now.items() if key not in state)
    for model in models:
        model.fit(x, y, epochs=1, batch_size=8)
    assert same(tested.get_weights(), untouched.get_weights())


def test_what_cannot_be_tried():
    model = compiled()
    for start, end in ((0, 1), (1, 1), (1, 0.1), (1e-3, float("inf"))):
        with pytest.raises(nn.ConfigError, match="start="):
            model.lr_find(*samples(), start=start, end=end)
    with pytest.raises(nn.ConfigError, match="steps=4 must be at least 5"):
        model.lr_find(*samples(), steps=4)
    with pytest.raises(nn.DataError, match="would use up an iterator"):
        model.lr_find(iter([samples()]))
    with pytest.raises(nn.ConfigError, match="not compiled"):
        network().lr_find(*samples())


RATES = tuple(10.0 ** (i - 8) for i in range(9))
MORE = tuple(10.0 ** (i - 8) for i in range(11))


@pytest.mark.parametrize(
    ("losses", "steepest", "valley"),
    [
        ((5, 5, 4, 3, 2, 1, 4, 9, 20), 2, 3),  # one descent from index 1 to 5
        ((5, 6, 4.9, 4.5, 4.6, 1, 2, 3, 9), 4, 3),  # its rises are left out
        ((1, 2, 3, 4, 5, 6, 7, 8, 9), 0, 0),  # it never fell
        ((9, 8, 7, 6, 5, 4, 3, 2, 0), 8, 4),
        ((9, 2, 5, 4.9, 4.8, 4.6, 4.2, 3.4, 3.1, 3, 9), 6, 5),  # the first tenth jumps: it does not count
    ],
)
def test_suggestions(losses, steepest, valley):
    found = LearningRates(MORE[: len(losses)], tuple(map(float, losses)))
    assert (MORE.index(found.steepest), MORE.index(found.valley)) == (steepest, valley)


def test_a_table_and_how_to_get_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = LearningRates(RATES, tuple(np.linspace(2, 1, 9).tolist()))
    file = found.save(tmp_path / "new" / "curve.png")
    assert file == tmp_path / "new" / "curve.csv"
    assert "pip install 'numbacnn[plot]'" in capsys.readouterr().out
    with file.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == ["learning_rate", "loss"] and [float(r[0]) for r in rows[1:]] == list(RATES)
    assert found.save(tmp_path / "asked.csv") == tmp_path / "asked.csv" and capsys.readouterr().out == ""


class Drawing:
    """As much of matplotlib's Figure as is used."""

    def __init__(self, **_):
        self.lines, self.labels = [], []

    def subplots(self):
        return self

    def semilogx(self, x, y):
        self.lines.append((x, y))

    def plot(self, x, y, style, label):
        self.lines.append((x, y))

    def set_xlabel(self, text):
        self.labels.append(text)

    set_ylabel = set_xlabel

    def set_ylim(self, low, high):
        self.limits = low, high

    def grid(self, alpha): ...

    def legend(self): ...

    def savefig(self, path, dpi):
        path.write_bytes(f"{len(self.lines)} {self.labels} {self.limits[0]:.3g} {self.limits[1]:.3g}".encode())


def test_a_picture(tmp_path, monkeypatch):
    found = LearningRates(RATES, (2.0, 1.9, 1.8, 1.6, 1.4, 1.2, 1.0, 2.0, 50.0))
    if importlib.util.find_spec("matplotlib"):
        with Image.open(found.save(tmp_path / "curve")) as picture:
            assert picture.format == "PNG" and picture.size == (840, 540)
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20, "something is drawn"
    monkeypatch.setitem(sys.modules, "matplotlib", type(sys)("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", figure := type(sys)("matplotlib.figure"))
    figure.Figure = Drawing
    assert found.save(tmp_path / "other.svg").read_text() == "3 ['learning rate (of the head)', 'loss (smoothed)'] 0.9 2.3"
