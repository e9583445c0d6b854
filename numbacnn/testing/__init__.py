"""Checks for what plugins bring, public: our own tests and plugin authors' call the same. One file a kind.

from numbacnn.testing import check_layer
def test_my_layer():
    check_layer(MyLayer(3), (5, 6, 4))          # raises AssertionError with values where something is wrong
"""

from .augmentations import check_augmentation
from .commands import check_command, run_command
from .installed import as_installed
from .layers import check_gradient, check_layer, draw_inputs, draw_weights, graph_of, layers_of, plan_of
from .losses import check_loss
from .metrics import check_metric
from .models import check_model
from .optimizers import check_optimizer

__all__ = [
    "as_installed",
    "check_augmentation",
    "check_command",
    "check_gradient",
    "check_layer",
    "check_loss",
    "check_metric",
    "check_model",
    "check_optimizer",
    "draw_inputs",
    "draw_weights",
    "graph_of",
    "layers_of",
    "plan_of",
    "run_command",
]
