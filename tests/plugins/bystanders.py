"""A training run, and what must work whatever else is installed."""

import numpy as np

import numbacnn as nn
from numbacnn import registry


def train(*layers, **options):
    model = nn.Sequential([nn.Input((3,)), nn.Dense(4), *layers], seed=0)
    model.compile("SGD", "mse", **options)
    model.fit(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))
    return model


def everything_else_works():
    from numbacnn_cli.layers import rows

    assert nn.Conv2D is registry.layers["Conv2D"] and nn.ReLU().name is None
    assert {"Conv2D", "ReLU"} <= {r.name for r in rows() if not r.broken}
    train(nn.ReLU())
