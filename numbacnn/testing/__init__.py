"""Checks for what plugins bring, public: our own tests and plugin authors' call the same. One file a kind.

from numbacnn.testing import check_layer
def test_my_layer():
    check_layer(MyLayer(3), (5, 6, 4))          # raises AssertionError with values where something is wrong
"""

from .layers import check_gradient, check_layer, draw_inputs, draw_weights, graph_of, layers_of, plan_of

__all__ = ["check_gradient", "check_layer", "draw_inputs", "draw_weights", "graph_of", "layers_of", "plan_of"]
