"""Real pictures: palette, gray and transparent ones, some filed under two classes."""

import numpy as np

import numbacnn as nn


def test_clipart_is_read_whole_and_learned_from(clipart):
    train, valid = nn.image_folder(clipart, size=16, batch_size=64, seed=0)
    assert train.classes == ("animals", "buildings", "food", "people", "plants", "vehicles")
    assert (train.images, valid.images) == (1075, 246)
    model = nn.build("small", (16, 16, 3), 6, seed=0)
    model.compile("adam", "cross_entropy", metrics=["accuracy"])
    history = model.fit(train, valid, epochs=2, schedule="one_cycle")
    assert not train.skipped and not valid.skipped
    assert history["train_loss"][1] < history["train_loss"][0] < np.log(6) + 0.3
    found = model.classify(valid.paths[:3])
    assert [p.path for p in found] == [str(p) for p in valid.paths[:3]]
    assert np.isclose(sum(p for _, p in model.classify(valid.paths[0], top=6)[0].top), 1, atol=1e-5)
