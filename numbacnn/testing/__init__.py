"""Checks for what plugins bring, public: our own tests and plugin authors' call the same. One file a kind.

A test of a layer is `check_layer(MyLayer(3), (5, 6, 4))`: it raises AssertionError with the values where something is wrong.
"""

from .draws import layers_of
from .layers import check_configuration, check_gradient, check_layer, check_oracle, check_precision, check_shape, draw_inputs, draw_weights, graph_of, plan_of

__all__ = [
    "check_configuration",
    "check_gradient",
    "check_layer",
    "check_oracle",
    "check_precision",
    "check_shape",
    "draw_inputs",
    "draw_weights",
    "graph_of",
    "layers_of",
    "plan_of",
]
