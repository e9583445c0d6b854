"""Checks for what plugins bring, public: our own tests and plugin authors' call the same. One file a kind.

A test of a layer is `check_layer(MyLayer(3), (5, 6, 4))`: it raises AssertionError with the values where something is wrong.
"""

from .augmentations import check_augmentation
from .commands import check_command, run_command
from .draws import layers_of
from .installed import as_installed
from .layers import check_configuration, check_gradient, check_layer, check_oracle, check_precision, check_shape, draw_inputs, draw_weights, graph_of, plan_of
from .losses import check_loss
from .metrics import check_metric
from .models import check_model
from .optimizers import check_optimizer

__all__ = [
    "as_installed",
    "check_augmentation",
    "check_command",
    "check_configuration",
    "check_gradient",
    "check_layer",
    "check_loss",
    "check_metric",
    "check_model",
    "check_optimizer",
    "check_oracle",
    "check_precision",
    "check_shape",
    "draw_inputs",
    "draw_weights",
    "graph_of",
    "layers_of",
    "plan_of",
    "run_command",
]
