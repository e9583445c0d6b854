"""Fields <-> JSON: any value of any storable type comes back equal and of the same type; everything else is refused by name."""

import enum
import json
import math
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn import fields, init, regularizers
from numbacnn.errors import ConfigError, FileError, UnknownNameError


class Color(enum.Enum):
    RED = "r"
    GREEN = (1, 2)


@dataclass(frozen=True)
class Inner:
    a: int = 1
    b: tuple[float, ...] = ()


@dataclass(frozen=True)
class Base:
    name: str | None = field(default=None, kw_only=True)
    trainable: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class Outer(Base):
    size: "int | tuple[int, int]"
    crop: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    shape: tuple[int | None, ...] = ()
    rate: float = 0.5
    limit: float | None = None
    scale: float | tuple[float, ...] = 1.0
    padding: Literal["same", "valid"] = "valid"
    kind: Literal[0, 1, False] | str = "x"
    color: Color = Color.RED
    inner: Inner = Inner()
    initializer: init.Initializer | str = "zeros"
    regularizer: regularizers.Regularizer | str | None = None
    activation: Base | str | None = None
    empty: tuple[()] = ()


@dataclass(frozen=True)
class Leaf(Base):
    slope: float = 0.3


def find(kind, name):
    if kind is Base:
        return {"Leaf": Leaf, "Outer": Outer, "Inner": Inner}.get(name) or _unknown(name)
    return None


def _unknown(name):
    raise UnknownNameError("layer", name, ["Leaf"])


numbers = st.floats(allow_nan=False)
ints = st.integers(-(10**20), 10**20)
pairs = st.tuples(ints, ints)
outers = st.deferred(
    lambda: st.builds(
        Outer,
        size=ints | pairs,
        crop=st.tuples(pairs, pairs),
        shape=st.lists(st.none() | ints).map(tuple),
        rate=numbers,
        limit=st.none() | numbers,
        scale=numbers | st.lists(numbers).map(tuple),
        padding=st.sampled_from(["same", "valid"]),
        kind=st.sampled_from([0, 1, False]) | st.text(),
        color=st.sampled_from(Color),
        inner=st.builds(Inner, a=ints, b=st.lists(numbers).map(tuple)),
        initializer=st.sampled_from(["x", init.Zeros(), init.Constant(3.5), init.Orthogonal(math.inf)]),
        regularizer=st.sampled_from([None, "l2", regularizers.L1(0.5), regularizers.L1L2(1.0, 2.0)]),
        activation=st.none() | st.text() | st.builds(Leaf, slope=numbers, name=st.none() | st.text()) | outers,
        name=st.none() | st.text(),
        trainable=st.booleans(),
    )
)


@given(outers)
def test_round_trip(value):
    text = json.dumps(fields.to_json(value, name_of=lambda cls: cls.__name__), allow_nan=False)
    back = fields.build(Outer, json.loads(text), find)
    assert back == value
    assert repr(back) == repr(value)  # 1, 1.0 and True are equal, and yet not the same


def test_nan_and_every_field_is_stored():
    stored = fields.to_json(Outer(1, rate=math.nan))
    assert list(stored) == list(fields.kinds(Outer)) and stored["rate"] == "nan"
    assert math.isnan(fields.build(Outer, stored, find).rate)


def test_conversions_that_lose_nothing():
    value = Outer(np.int64(3), rate=2, scale=[1, np.float64(2.5)], crop=[[1, 2], (3, 4)])
    assert fields.build(Outer, fields.to_json(value)) == Outer(3, rate=2.0, scale=(1.0, 2.5), crop=((1, 2), (3, 4)))


def test_names_from_the_caller():
    stored = fields.to_json(Outer(1, activation=Leaf(0.1)), name_of=lambda cls: "leaf" if cls is Leaf else None)
    assert stored["activation"] == {"class": "leaf", "fields": {"name": None, "trainable": True, "slope": 0.1}}
    back = fields.build(Outer, stored, lambda kind, name: Leaf if name == "leaf" else None)
    assert back.activation == Leaf(0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "x"}, r"here\.size='x' is no int \| tuple\[int, int\]"),
        ({"size": [1, 2, 3]}, r"here\.size=\[1, 2, 3\]"),
        ({"size": True}, "is no int"),
        ({"size": 1.0}, "is no int"),
        ({"rate": True}, r"here\.rate=True is no float"),
        ({"rate": "fast"}, "is no float"),
        ({"rate": None}, "is no float"),
        ({"rate": 10**400}, "is no float"),
        ({"trainable": 1}, "is no bool"),
        ({"padding": "full"}, r"is no Literal\['same', 'valid'\]"),
        ({"color": "BLUE"}, "is no Color"),
        ({"color": ["RED"]}, "is no Color"),
        ({"crop": [[1, 2], [3]]}, "is no tuple"),
        ({"inner": {"class": "Inner", "fields": {"b": [1, "x"]}}}, r"here\.inner\.b=\[1, 'x'\] is no tuple"),
        ({"inner": {"class": "Inner", "fields": {"c": 1}}}, r"here\.inner: Inner has no field 'c'; known: a, b\. .* newer version"),
        ({"inner": {"class": "Leaf", "fields": {}}}, r"here\.inner=.* is no Inner"),
        ({"inner": {"class": "Inner", "fields": 3}}, "fields of Inner are missing"),
        ({"inner": {"class": "Inner"}}, "is no Inner"),
        ({"initializer": {"class": "Popen", "fields": {}}}, "unknown initializer 'Popen'"),
        ({"initializer": {"class": "_Scaled", "fields": {}}}, "unknown initializer"),
        ({"regularizer": {"class": "L3", "fields": {}}}, "unknown regularizer 'L3'"),
        ({"activation": {"class": "Inner", "fields": {}}}, r"is no Base \| str \| None"),
        ({"new": 1, "newer": 2}, r"Outer has no field 'new', 'newer'; known: name, trainable, size"),
    ],
)
def test_bad_data_is_refused_with_its_path(change, message):
    with pytest.raises(FileError, match=message):
        fields.build(Outer, {"size": 1, **change}, find, "here")


def test_missing_fields_and_unknown_layers():
    with pytest.raises(FileError, match="needs the field 'size'"):
        fields.build(Outer, {}, find)
    with pytest.raises(UnknownNameError, match="unknown layer 'Nope'"):
        fields.build(Outer, {"size": 1, "activation": {"class": "Nope", "fields": {}}}, find)
    with pytest.raises(FileError, match=r"fields of Outer are missing"):
        fields.build(Outer, [], find)


def test_depth_is_limited():
    stored = {"size": 1}
    for _ in range(200):
        stored = {"size": 1, "activation": {"class": "Outer", "fields": stored}}
    with pytest.raises(FileError, match="more than 32 objects"):
        fields.build(Outer, stored, find)


def test_what_the_class_refuses():
    @dataclass(frozen=True)
    class Picky:
        n: int = 1

        def __post_init__(self):
            if self.n < 1:
                raise ConfigError(f"n={self.n} must be at least 1")
            _ = 1 // (self.n - 7)

    with pytest.raises(FileError, match=r"conv: Picky cannot have these fields: n=0 must be at least 1"):
        fields.build(Picky, {"n": 0}, where="conv")
    with pytest.raises(FileError, match="cannot have these fields"):
        fields.build(Picky, {"n": 7})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tuple, r"Bad\.x: a bare tuple does not say"),
        (tuple | None, "a bare tuple"),
        (tuple[tuple, ...], "a bare tuple"),
        (Any, r"Bad\.x: fields of type Any"),
        (object, "type object"),
        (list[int], r"type list\[int\]"),
        (dict[str, int], "type dict"),
        (Literal[b"x"], "Literals of"),
        ("Unheard", "cannot be evaluated"),
    ],
)
def test_annotations_that_say_too_little(kind, message):
    bad = make_dataclass("Bad", [("x", kind, None)], frozen=True)
    with pytest.raises(ConfigError, match=message):
        fields.to_json(bad())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Outer("x"), r"Outer\.size='x' is no int"),
        (Outer(1, padding="full"), "Outer.padding='full'"),
        (Outer(1, color="r"), "is no Color"),
        (Outer(1, inner=Leaf()), r"Outer\.inner=.* is no Inner"),
        (Outer(1, activation=Leaf()), "Leaf cannot be stored where Base is expected"),
        (Outer(1, inner=Inner(a=object())), r"Outer\.inner\.a=.* is no int"),
    ],
)
def test_values_that_do_not_fit(value, message):
    with pytest.raises(ConfigError, match=message):
        fields.to_json(value)


def test_text_that_reads_like_a_number():
    mixed = make_dataclass("Mixed", [("x", str | float, 1.0)], frozen=True)
    assert fields.build(mixed, fields.to_json(mixed(-math.inf))) == mixed(-math.inf)
    assert fields.build(mixed, fields.to_json(mixed("infinite"))) == mixed("infinite")
    with pytest.raises(ConfigError, match="beside a float"):
        fields.to_json(mixed("inf"))


def test_other_peoples_initializers():
    @dataclass(frozen=True)
    class Mine(init.Initializer):
        pass

    with pytest.raises(ConfigError, match="Mine cannot be stored, since files know only our own"):
        fields.to_json(Outer(1, initializer=Mine()))
