"""What messages say."""

from numbacnn.errors import UnknownNameError


def test_unknown_names_list_what_is_known():
    assert str(UnknownNameError("pooling", "avgg", ["max", "avg"])) == "unknown pooling 'avgg'; did you mean 'avg'? (known: avg, max)"
    assert str(UnknownNameError("metric", "f2", [])) == "unknown metric 'f2' (known: none)"


def test_of_many_names_the_nearest_are_listed():
    message = str(UnknownNameError("layer name", "block9", [f"block{i}_bn" for i in range(300)]))
    assert message.startswith("unknown layer name 'block9'; did you mean 'block9_bn'? (the nearest of 300: block9_bn, ")
    assert message.count("_bn") == 11
