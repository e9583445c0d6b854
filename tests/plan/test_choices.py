"""Measured choices go before the rule, travel with files, and never change what a resumed run computes."""

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.convolutions import PRODUCTS, Convolution
from numbacnn.errors import FileError
from numbacnn.plan import choices
from numbacnn.store import native

RULE = next(c.name for c in PRODUCTS if c.supports(Convolution(2, (6, 6, 3), (6, 6, 4), (3, 3), low=(1, 1))) is None)
KEY = "product: 2x6x6x3 -> 6x6x4 by 3x3, padded 1x1, float32"


def model(**options):
    x = nn.Input((6, 6, 3))
    made = nn.Model(x, nn.Dense(3)(nn.Flatten()(nn.Conv2D(4, 3, padding="same", name="conv")(x))), seed=1)
    made.compile("sgd", "cross_entropy", **options)
    return made


def batch(count=2):
    return np.random.default_rng(0).standard_normal((count, 6, 6, 3)).astype(np.float32), np.arange(count) % 3


def test_what_was_measured_goes_first():
    assert choices.tuned() == {}
    first = model()
    first.train_on_batch(*batch())
    assert first.network.choices[KEY] == RULE
    choices.keep({KEY: "direct"})
    choices.keep({"weights: something else": "direct"})
    assert choices.tuned()[KEY] == "direct"
    first.network.forget()
    first.train_on_batch(*batch())
    assert first.network.choices[KEY] == RULE, "a run computes as it began"
    second = model()
    second.train_on_batch(*batch())
    assert second.network.choices[KEY] == "direct"


def test_what_cannot_be_taken_is_not():
    choices.keep({KEY: "pointwise"})
    made = model()
    made.train_on_batch(*batch())
    assert made.network.choices[KEY] == RULE


def test_a_damaged_file_counts_as_none():
    choices.keep({KEY: "direct"})
    choices.tuned_file().write_text("{")
    assert choices.tuned() == {}


@pytest.mark.parametrize("checkpoint", [True, False])
def test_files_carry_choices(tmp_path, checkpoint):
    choices.keep({KEY: "direct"})
    made = model()
    made.train_on_batch(*batch())
    made.save(tmp_path / "model.h5", checkpoint=checkpoint)
    choices.keep({KEY: RULE})
    again = nn.load(tmp_path / "model.h5")
    again.train_on_batch(*batch())
    expected = "direct" if checkpoint else RULE  # who goes on computes as before; who starts, as fast as here
    assert again.network.choices[KEY] == expected


def test_a_damaged_choice_in_a_file_is_an_error(tmp_path):
    made = model()
    made.save(tmp_path / "model.h5")
    file = native.read(tmp_path / "model.h5")
    file.choices = {KEY: 3}
    native.write(tmp_path / "model.h5", file)
    with pytest.raises(FileError, match="choices"):
        nn.load(tmp_path / "model.h5")


def test_options_of_compile_travel(tmp_path):
    made = model(winograd=False, checkpointing=True)
    made.train_on_batch(*batch())
    made.save(tmp_path / "model.h5")
    again = nn.load(tmp_path / "model.h5")
    assert (again.network.how.winograd, again.network.how.checkpointing) == (False, True)
