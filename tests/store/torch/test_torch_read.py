"""What PyTorch wrote comes back without PyTorch: real files, and every construct by a writer of our own."""

import io
import json
import pickle
import pickletools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch_writer as w
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from numbacnn.errors import FileError
from numbacnn.store.torch import is_torch, read_state_dict

FIXTURES = Path(__file__).parent / "fixtures"
LAYOUTS = ("zip", "stream")


def same(found: dict, wanted: dict) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert found[name].flags.c_contiguous and found[name].flags.writeable and found[name].dtype.isnative, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture
def storages(layout):
    return w.Storages(legacy=layout == "stream")


def written(tmp_path, layout, value, storages) -> Path:
    w.write(layout, tmp_path / "m.pth", value, storages)
    return tmp_path / "m.pth"


def test_the_writer_writes_pickles():
    value = {"a": (1, 2.5, None, True, [1 << 40, -3]), 7: "\u00fc"}
    assert pickle.loads(w.pickled(value)) == value
    pickletools.dis(w.pickled(w.ordered({"a": w.Storages().tensor(np.zeros(2))})), out=io.StringIO())  # raises for bad opcodes


# ---- real files


@pytest.mark.parametrize("file", sorted(p.name for p in FIXTURES.glob("*.pth")))
def test_real_files(file):
    files = json.loads((FIXTURES / "expected.json").read_text())
    expected = files[file] if isinstance(files[file], dict) else files[files[file]]
    wanted = {name: np.array(item["values"], item["type"]).reshape(item["shape"]) for name, item in expected.items()}
    assert is_torch(FIXTURES / file)
    same(read_state_dict(FIXTURES / file), wanted)


def test_there_are_real_files_of_both_layouts():
    starts = [p.read_bytes()[:2] for p in FIXTURES.glob("*.pth")]
    assert starts.count(b"PK") >= 5 and starts.count(b"\x80\x02") >= 3


def test_a_file_is_told_by_its_content(tmp_path):
    shutil.copy(FIXTURES / "net.pth", tmp_path / "model.h5")
    assert is_torch(tmp_path / "model.h5")
    for name, data in {"empty": b"", "text": b"hello", "zip": b"PK\x03\x04" + bytes(40), "pickle": pickle.dumps({"a": 1})}.items():
        (tmp_path / name).write_bytes(data)
        assert not is_torch(tmp_path / name), name


# ---- every construct


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_types_of_numbers(tmp_path, layout, storages, kind):
    values = np.array([[0, 1, 2], [3, 100, 7]]).astype(kind)
    same(read_state_dict(written(tmp_path, layout, w.ordered({"x": storages.tensor(values)}), storages)), {"x": values})


def test_half_precision_becomes_single(tmp_path, layout, storages):
    values = np.array([1.5, -0.25, 65504, 6e-8, np.inf, np.nan], np.float16)
    upper = np.array([1.5, -3e38, 1e-38, np.inf], np.float32).view(np.uint32) >> 16
    brain = w.tensor(storages.storage(upper.astype(np.uint16).view(np.int16), "BFloat16"), 0, (2, 2), (1, 2))
    found = read_state_dict(written(tmp_path, layout, w.ordered({"half": storages.tensor(values), "brain": brain}), storages))
    same(found, {"half": values.astype(np.float32), "brain": (upper << 16).astype(np.uint32).view(np.float32).reshape(2, 2).T.copy()})


def test_views_of_storages(tmp_path, layout, storages):
    values = np.arange(24, dtype=np.float32)
    block = storages.storage(values)
    again = storages.again(0, "Float", 24)
    state = {
        "turned": w.tensor(block, 0, (4, 6), (1, 4)),
        "part": w.tensor(again, 5, (2, 3), (6, 2)),
        "one": w.tensor(again, 23, (), ()),
        "none": w.tensor(again, 24, (0, 3), (3, 1)),
        "spread": w.tensor(again, 3, (5, 2), (0, 1)),
        "odd stride of one": w.tensor(again, 0, (1, 2), (10**9, 1)),
    }
    found = read_state_dict(written(tmp_path, layout, w.ordered(state), storages))
    wanted = {
        "turned": values.reshape(6, 4).T.copy(),
        "part": np.array([[5, 7, 9], [11, 13, 15]], np.float32),
        "one": np.array(23, np.float32),
        "none": np.zeros((0, 3), np.float32),
        "spread": np.array([[3, 4]] * 5, np.float32),
        "odd stride of one": np.array([[0, 1]], np.float32),
    }
    same(found, wanted)
    found["turned"][:] = -1  # nobody else's memory
    assert found["part"][0, 0] == 5


def test_big_endian_numbers(tmp_path):
    storages = w.Storages(order=">")
    values, half = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.5, 2.5], np.float16)
    w.write_zip(tmp_path / "m.pth", w.ordered({"x": storages.tensor(values), "h": storages.tensor(half)}), storages, b"big")
    same(read_state_dict(tmp_path / "m.pth"), {"x": values, "h": half.astype(np.float32)})
    storages.order = "<"  # without a mark: little-endian
    w.write_zip(tmp_path / "m.pth", w.ordered({"x": storages.tensor(values)}), storages, None)
    same(read_state_dict(tmp_path / "m.pth"), {"x": values})


def test_parts_of_storages_in_old_files(tmp_path):
    storages = w.Storages(legacy=True)
    values = np.arange(10, dtype=np.float32)
    state = w.ordered({"x": w.tensor(storages.storage(values, view=("v", 4, 3)), 1, (2,), (1,))})
    w.write_stream(tmp_path / "m.pth", state, storages)
    same(read_state_dict(tmp_path / "m.pth"), {"x": values[5:7]})


def test_other_ways_to_rebuild_a_tensor(tmp_path, layout, storages):
    values = np.arange(4, dtype=np.float32)
    empty = w.Call(w.Name("collections", "OrderedDict"), ())
    plain = storages.tensor(values)
    raw = storages.storage(values.view(np.uint8), "Byte")
    state = {
        "parameter": w.Call(w.Name("torch._utils", "_rebuild_parameter"), (plain, True, empty)),
        "with state": w.Call(w.Name("torch._utils", "_rebuild_parameter_with_state"), (storages.tensor(values), True, empty, {"note": 1})),
        "v1": w.Call(w.Name("torch._utils", "_rebuild_tensor"), (storages.storage(values), 0, (4,), (1,))),
        "v3": w.Call(w.Name("torch._utils", "_rebuild_tensor_v3"), (raw, 1, (3,), (1,), False, empty, w.Name("torch", "float32"))),
        "attributes": w.Call(
            w.Name("torch._tensor", "_rebuild_from_type_v2"),
            (w.Name("torch._utils", "_rebuild_tensor_v2"), w.Name("torch", "Tensor"), storages.tensor(values).arguments, {"note": 1}),
        ),
        "metadata": w.tensor(storages.storage(values), 0, (4,), (1,), {"neg": False}),
        "size": w.tensor(storages.storage(values), 0, w.Call(w.Name("torch", "Size"), ((2, 2),)), (2, 1)),
    }
    wanted = dict.fromkeys(state, values) | {"v3": values[1:], "size": values.reshape(2, 2)}
    same(read_state_dict(written(tmp_path, layout, w.ordered(state), storages)), wanted)


def test_texts_of_python_2_and_pairs(tmp_path, layout, storages):
    """OrderedDict([['weight', tensor]]) with the bytes of Python 2, as the oldest published files have it."""
    key = w.Raw(b"U\x06weight")
    value = w.Call(w.Name("collections", "OrderedDict"), ([[key, storages.tensor(np.ones(2, np.float32))]],))
    same(read_state_dict(written(tmp_path, layout, value, storages)), {"weight": np.ones(2, np.float32)})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(tmp_path, protocol):
    """What Python's own pickler writes beside the weights is understood in every protocol that PyTorch takes."""
    storages = w.Storages()
    others = {"s": "x" * 300, "b": b"\x00\xff" * 200, "n": [1, -1, 300, 1 << 33, -(1 << 70), 2.5, None, True], "t": ((), (1,), (1, 2), (1, 2, 3), (1,) * 9)}
    rest = pickle.dumps(others, protocol)[2:-1]
    if protocol >= 4:
        rest = rest[9:]  # FRAME
    value = pickle.dumps({"other": 1}, 2)[:2] + w._code({"other": w.Raw(rest), "state_dict": w.ordered({"x": storages.tensor(np.ones(1))})}) + b"."
    w.write_zip(tmp_path / "m.pth", value, storages)
    same(read_state_dict(tmp_path / "m.pth"), {"x": np.ones(1)})


@given(hn.arrays(st.sampled_from(["f4", "f8", "i4", "u1"]), hn.array_shapes(min_dims=0, max_dims=4, max_side=4)), st.sampled_from(LAYOUTS))
def test_any_array(tmp_path_factory, array, layout):
    storages = w.Storages(legacy=layout == "stream")
    path = tmp_path_factory.mktemp("any") / "m.pth"
    w.write(layout, path, w.ordered({"x": storages.tensor(array)}), storages)
    same(read_state_dict(path), {"x": array})


# ---- wrapped


def test_wrapped_state_dicts(tmp_path, layout):
    def read(build):
        storages = w.Storages(legacy=layout == "stream")
        return read_state_dict(written(tmp_path, layout, build(lambda *v: storages.tensor(np.array(v, np.float32))), storages))

    one = {"a.weight": np.array([1, 2], np.float32)}
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    for key in ("state_dict", "model_state_dict", "model", "net"):
        same(read(lambda t, key=key: {"epoch": 3, key: w.ordered({"a.weight": t(1, 2)}), "optimizer": optimizer}), one)
    same(read(lambda t: {"model": {"state_dict": {"a.weight": t(1, 2)}}}), one)
    same(read(lambda t: {"model": {"a.weight": t(1, 2)}, "model_ema": {"a.weight": t(5, 6)}, "optimizer": {"state": {0: {"exp_avg": t(7)}}}}), one)
    same(read(lambda t: {"generator": {"a.weight": t(1, 2)}, "epoch": 3}), one)
    same(read(lambda t: w.ordered({"module.a.weight": t(1, 2)})), one)
    same(read(lambda t: w.ordered({"module._orig_mod.a.weight": t(1, 2)})), one)
    same(read(lambda t: w.ordered({"a.weight": t(1, 2), "a._extra_state": {"x": 1}, "version": 3})), one)
    same(read(lambda t: w.ordered({"module.a": t(1, 2), "b": t(3)})), {"module.a": one["a.weight"], "b": np.array([3], np.float32)})
    for message, build in {
        r"weights of several things \(generator, discriminator\)": lambda t: {"generator": {"a": t(1)}, "discriminator": {"a": t(1)}},
        "holds one tensor": lambda t: t(1),
        "holds no dict of weights": lambda t: [t(1)],
        "holds no weights; its dict has 'epoch', 'state'": lambda t: {"epoch": 3, "state": {0: {"step": t(1)}}},
        "holds no weights; its dict has nothing in it": lambda t: {},
        "names that are no texts: 0": lambda t: {0: t(1), "a": t(2)},
        r"other things among its weights \(b\)": lambda t: {"a": t(1), "b": {"c": 1}},
    }.items():
        with pytest.raises(FileError, match=message) as caught:
            read(build)
        assert str(tmp_path / "m.pth") in str(caught.value)
