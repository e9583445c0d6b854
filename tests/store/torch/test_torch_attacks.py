"""Files that were made to do harm, or that are damaged: always a FileError that names the file, and nothing is run."""

import os
import pickle
import random
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch_writer as w
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.errors import FileError
from numbacnn.store.torch import is_torch, read_state_dict, unpickle

FIXTURES = Path(__file__).parent / "fixtures"
ONES = np.ones(4, np.float32)


def refused(path, message: str | None = None) -> None:
    with pytest.raises(FileError, match=message) as caught:
        read_state_dict(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


class System:
    def __reduce__(self):
        return os.system, ("touch ran",)


class Evaluated:
    def __reduce__(self):
        return eval, ("open('ran', 'w')",)


class Built:
    def __init__(self):
        self.__dict__["x"] = 1


@pytest.mark.parametrize("layout", ["zip", "stream"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("thing", "name"), [(System(), "(posix|nt).system"), (Evaluated(), "(builtins|__builtin__).eval"), (Built(), "test_torch_attacks.Built")]
)
def test_code_is_not_run(tmp_path, monkeypatch, layout, protocol, thing, name):
    monkeypatch.chdir(tmp_path)
    w.write(layout, tmp_path / "m.pth", pickle.dumps({"state_dict": thing}, protocol), w.Storages())
    refused(tmp_path / "m.pth", rf"asks for '{name}', which is code.*torch\.save\(model\.state_dict\(\)")
    assert os.listdir(tmp_path) == ["m.pth"]


call = w.Call
ordered_dict = w.Name("collections", "OrderedDict")
floats = w.Name("torch", "FloatStorage")
rebuild = w.Name("torch._utils", "_rebuild_tensor_v2")


def outside(s, kind, key, count=4) -> w.Persistent:
    """A storage by its id."""
    return w.Persistent(("storage", kind, key, "cpu", count, *((None,) if s.legacy else ())))


def of(make):
    """A case: what stands in the pickle, made with storages."""
    return lambda s: w.ordered({"x": make(s)})


ATTACKS = {  # name -> (value, message)
    "a global of numpy": (of(lambda s: call(w.Name("numpy.core.multiarray", "scalar"), ())), "'numpy.core.multiarray.scalar', which is code"),
    "a module of torch": (of(lambda s: w.Name("torch.nn.modules.conv", "Conv2d")), "'torch.nn.modules.conv.Conv2d', which is code"),
    "torch.load": (of(lambda s: call(w.Name("torch", "load"), ("other.pth",))), "'torch.load', which is code"),
    "a dotted name": (of(lambda s: w.Name("collections", "OrderedDict.fromkeys")), "OrderedDict.fromkeys', which is code"),
    "a dunder": (of(lambda s: w.Name("collections", "__builtins__")), "__builtins__', which is code"),
    "a quantized tensor": (of(lambda s: w.Name("torch._utils", "_rebuild_qtensor")), "stands for a quantized tensor: save it dequantized"),
    "complex numbers": (of(lambda s: w.Name("torch", "ComplexFloatStorage")), "numbers of this kind are not supported"),
    "a tensor's class": (
        of(lambda s: call(w.Name("torch._tensor", "_rebuild_from_type_v2"), (rebuild, ordered_dict, (), {}))),
        "a tensor has a class of its own",
    ),
    "another function": (
        of(lambda s: call(w.Name("torch._tensor", "_rebuild_from_type_v2"), (ordered_dict, w.Name("torch", "Tensor"), (), {}))),
        "rebuilt by a function that numbacnn does not know",
    ),
    "a call of a text": (of(lambda s: call("os.system", ("ls",))), "calls something that cannot be called"),
    "a call of a storage's type": (of(lambda s: call(w.Name("torch", "FloatStorage"), (10**9,))), "calls something that cannot be called"),
    "a call of a tensor": (of(lambda s: call(s.tensor(ONES), ())), "calls something that cannot be called"),
    "arguments that are no tuple": (of(lambda s: w.Raw(w._code(ordered_dict) + b"]R")), "calls something that cannot be called"),
    "too few arguments": (of(lambda s: call(rebuild, (1,))), "cannot be read, the file is truncated or damaged"),
    "no storage": (of(lambda s: w.tensor("x", 0, (1,), (1,))), "a tensor has no storage"),
    "another type of numbers": (of(lambda s: w.tensor(outside(s, ordered_dict, "0"), 0, (4,), (1,))), "belongs"),
    "beyond its storage": (of(lambda s: w.tensor(s.storage(ONES), 0, (5,), (1,))), r"shape \(5,\) reaches beyond its storage: to number 4 of 4"),
    "an offset beyond": (of(lambda s: w.tensor(s.storage(ONES), 4, (1,), (1,))), "reaches beyond its storage"),
    "a stride beyond": (of(lambda s: w.tensor(s.storage(ONES), 0, (2, 2), (3, 1))), "reaches beyond its storage"),
    "a negative offset": (of(lambda s: w.tensor(s.storage(ONES), -1, (2,), (1,))), "offset is no integer between"),
    "a negative stride": (of(lambda s: w.tensor(s.storage(ONES), 3, (2,), (-1,))), "strides is no integer between"),
    "a negative size": (of(lambda s: w.tensor(s.storage(ONES), 0, (-2, -2), (1, 1))), "shape is no integer between"),
    "a size that overflows": (of(lambda s: w.tensor(s.storage(ONES), 0, (1 << 33, 1 << 33), (0, 0))), "far more than the file has"),
    "an enormous size": (of(lambda s: w.tensor(s.storage(ONES), 0, (1 << 600,), (0,))), "no integer between"),
    "a view that multiplies": (of(lambda s: w.tensor(s.storage(ONES), 0, (1 << 24,), (0,))), "weights take 67,108,864 bytes"),
    "sizes that are no numbers": (of(lambda s: w.tensor(s.storage(ONES), 0, (2.0,), (1,))), "no integer between"),
    "sizes that are true": (of(lambda s: w.tensor(s.storage(ONES), 0, (True,), (1,))), "no integer between"),
    "strides too few": (of(lambda s: w.tensor(s.storage(ONES), 0, (2, 2), (1,))), r"shape \(2, 2\) has 1 strides"),
    "many axes": (of(lambda s: w.tensor(s.storage(ONES), 0, (1,) * 33, (1,) * 33)), "no tuple of at most 32"),
    "a storage of negative size": (of(lambda s: w.tensor(s.storage(ONES, count=-4), 0, (0,), (1,))), "size of storage '0' is no integer"),
    "a storage that is larger": (of(lambda s: w.tensor(s.storage(ONES, count=10**12), 0, (10**12,), (1,))), "storage '0'"),
    "a storage of wider numbers": (of(lambda s: w.tensor(s.storage(ONES, "Double"), 0, (4,), (1,))), "storage '0'"),
    "a storage that is not there": (of(lambda s: w.tensor(s.again(7, "Float", 4), 0, (4,), (1,))), "storage '7' is missing|list of its storages"),
    "a storage by a number": (
        of(lambda s: w.tensor(outside(s, floats, 0), 0, (4,), (1,))),
        "a storage's key is no text",
    ),
    "a path as a storage": (
        of(lambda s: w.tensor(outside(s, floats, "../byteorder", 1), 0, (1,), (1,))),
        "is missing|list of its storages",
    ),
    "something else outside": (of(lambda s: w.Persistent(("file", "/etc/passwd"))), "names something outside that is no storage"),
    "something outside by text": (of(lambda s: w.Persistent("/etc/passwd")), "by something else than a tuple"),
    "a conjugate view": (of(lambda s: w.tensor(s.storage(ONES), 0, (4,), (1,), {"conj": True})), "conjugate or negative view"),
    "a list as a key": (lambda s: w.Raw(b"}]Ns"), "a dict has a key"),
    "a tuple as a key": (lambda s: {(1, 2): 3}, "a dict has a key"),
    "a key that collides": (lambda s: {(1 << 61) - 1 << 100: 3}, "a dict has a key"),
    "a long integer": (lambda s: w.Raw(b"\x8b" + struct.pack("<I", 1 << 20) + bytes(1 << 20)), "an integer of 1048576 bytes"),
    "a text longer than the file": (lambda s: w.Raw(b"X\xff\xff\xff\xff"), "ends too early"),
    "a text far longer": (lambda s: w.Raw(b"\x8d" + b"\xff" * 8), "ends too early"),
    "an endless name": (lambda s: w.Raw(b"c" + b"a" * 5000), "a name without an end"),
    "bad text": (lambda s: w.Raw(b"X\x01\x00\x00\x00\xff"), "truncated or damaged"),
    "an extension code": (lambda s: w.Raw(b"\x82\x01"), "opcode"),
    "an instance": (lambda s: w.Raw(b"(ios\nsystem\n"), "opcode"),
    "an object": (lambda s: w.Raw(b"(cos\nsystem\no"), "'os.system', which is code"),
    "a duplicate": (lambda s: w.Raw(b"N2"), "opcode"),
    "a text opcode": (lambda s: w.Raw(b"S'a'\n"), "opcode"),
    "an unknown protocol": (lambda s: w.Raw(b"\x80\x09N"), "protocol 9"),
    "an empty stack": (lambda s: w.Raw(b"0"), "takes more from the stack"),
    "below the mark": (lambda s: w.Raw(b"N(0"), "takes more from the stack"),
    "no mark": (lambda s: w.Raw(b"t"), "closes what it did not open"),
    "an open mark": (lambda s: w.Raw(b"(N"), "leaves values behind"),
    "values left": (lambda s: w.Raw(b"NN"), "leaves values behind"),
    "a memo that is not there": (lambda s: w.Raw(b"h\x05"), "did not keep"),
    "an append to a tuple": (lambda s: w.Raw(b")Na"), "no list"),
    "items of a list": (lambda s: w.Raw(b"]NNs"), "no dict"),
    "an odd number of items": (lambda s: w.Raw(b"}(Nu"), "no dict"),
    "attributes of a text": (lambda s: w.Raw(w._code("x") + b"}b"), "gives attributes"),
    "attributes of a global": (lambda s: w.Raw(w._code(ordered_dict) + b"}b"), "gives attributes"),
    "a dict in itself": (lambda s: w.Raw(b"}q\x00" + w._code("model") + b"h\x00s"), "dicts in each other"),
    "a state dict in itself": (
        lambda s: w.Raw(b"}q\x00(" + w._code("state_dict") + b"h\x00" + w._code("x") + w._code(s.tensor(ONES)) + b"u"),
        "in each other|other things",
    ),
    "deep marks": (lambda s: w.Raw(b"(" * 5000), "longer or deeper"),
    "copies of a list": (
        lambda s: w.Raw(b"](" + b"N" * 50_000 + b"eq\x00" + b"0cbuiltins\nset\nq\x010h\x00\x85q\x020" + b"h\x01h\x02R0" * 1000),
        "longer or deeper",
    ),
    "copies of a text": (
        lambda s: w.Raw(w._code(("x" * 5_000_000, "latin1")) + b"q\x000c_codecs\nencode\nq\x010" + b"h\x01h\x00R0" * 1000),
        "longer or deeper",
    ),
    "doubling tuples": (lambda s: w.Raw(b")" + b"q\x00h\x00\x86" * 200), "holds no dict of weights"),
    "doubling tuples as a key": (lambda s: w.Raw(b"})" + b"q\x00h\x00\x86" * 200 + b"Ns"), "a dict has a key"),
    "doubling tuples as a shape": (of(lambda s: w.tensor(s.storage(ONES), 0, w.Raw(b")" + b"q\x00h\x00\x86" * 200), (1,))), "no integer between"),
    "deep lists": (lambda s: w.Raw(b"]" * 20_000 + b"a" * 19_999), "holds no dict of weights"),
}


@pytest.mark.parametrize("layout", ["zip", "stream"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(tmp_path, layout, attack):
    make, message = ATTACKS[attack]
    storages = w.Storages(legacy=layout == "stream")
    w.write(layout, tmp_path / "m.pth", make(storages), storages)
    tracemalloc.start()
    try:
        refused(tmp_path / "m.pth", message)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("bound", "code"), [("_STEPS", b"N0"), ("_STACK", b"N"), ("_MARKS", b"(")])
def test_pickles_without_end(tmp_path, monkeypatch, bound, code):
    assert 1000 <= getattr(unpickle, bound) <= 2_000_000
    monkeypatch.setattr(unpickle, bound, 100)
    for count, message in ((40, "leaves values behind|holds no dict"), (110, "longer or deeper")):
        w.write_zip(tmp_path / "m.pth", w.Raw(code * count + b"N"), w.Storages())
        refused(tmp_path / "m.pth", message)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("module.pt", r"'torch.nn.modules.container.Sequential', which is code.*torch\.save\(model\.state_dict\(\)"),
        ("module_stream.pt", r"a whole model|which is code"),
        ("script.pt", r"is a TorchScript program.*torch\.jit\.load"),
        ("quantized.pt", "a quantized tensor: save it dequantized"),
    ],
)
def test_real_files_with_code(file, message):
    refused(FIXTURES / file, message)


# ---- the zip file


def good(storages=None) -> tuple:
    storages = storages or w.Storages()
    return w.ordered({"x": storages.tensor(ONES)}), storages


def packed(path, members: list[tuple[str, bytes]], **options) -> None:
    with pytest.warns(UserWarning) if len({n for n, _ in members}) < len(members) else open(os.devnull), zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members:
            file.writestr(name, data)


def members(value=None) -> list[tuple[str, bytes]]:
    made, storages = good()
    return [("a/data.pkl", w.pickled(made if value is None else value)), ("a/byteorder", b"little"), ("a/data/0", storages.bytes(0))]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([("a/data/0", b"other")], "two members 'a/data/0'"),
        ([("a/data.pkl", b"N.")], "two members 'a/data.pkl'"),
        ([("b/data.pkl", b"N.")], "none that torch.save wrote"),
        ([("../evil", b"x")], "points out of its folder"),
        ([("a/../../evil", b"x")], "points out of its folder"),
        ([("/etc/passwd", b"x")], "points out of its folder"),
        ([("a\\..\\evil", b"x")], "points out of its folder"),
        ([("a/code/__torch__.py", b"def f(): ...")], "is a TorchScript program"),
    ],
)
def test_members_of_the_zip_file(tmp_path, extra, message):
    packed(tmp_path / "m.pth", members() + extra)
    refused(tmp_path / "m.pth", message)


def test_other_zip_files(tmp_path):
    path = tmp_path / "m.pth"
    packed(path, members(), compression=zipfile.ZIP_DEFLATED)
    refused(path, "is compressed, as torch.save never does")
    packed(path, [("a/data.pkl", bytes(100 << 20))], compression=zipfile.ZIP_DEFLATED)  # a bomb: 100 KB
    refused(path, "is compressed")
    packed(path, [("config.json", b"{}"), ("model.weights.h5", b"")])
    refused(path, "none that torch.save wrote")
    assert not is_torch(path)
    packed(path, [])
    refused(path, "no file that torch.save wrote|none that torch.save wrote")
    packed(path, [members()[0], ("a/byteorder", b"middle"), members()[2]])
    refused(path, "neither little nor big")
    packed(path, members()[:2])
    refused(path, "storage '0' is missing")
    packed(path, [*members()[:2], ("a/data/0", bytes(15))])
    refused(path, "storage '0' is said to have 4 numbers, but has 15 bytes")


def test_a_pickle_of_too_many_bytes(tmp_path):
    w.write_zip(tmp_path / "m.pth", bytes((64 << 20) + 1), w.Storages())
    refused(tmp_path / "m.pth", "more than 64 MB")


def altered(path, old: bytes, new: bytes, count: int) -> None:
    data = path.read_bytes()
    assert data.count(old) == count
    path.write_bytes(data.replace(old, new))


def test_lies_in_the_directory(tmp_path):
    path = tmp_path / "m.pth"
    sizes = struct.pack("<II", 16, 16)  # compressed, uncompressed: of a/data/0
    packed(path, members())
    altered(path, sizes, struct.pack("<II", 1 << 30, 1 << 30), 2)
    refused(path, "claim more bytes than it has|damaged")
    packed(path, members())
    altered(path, sizes, struct.pack("<II", 16, 1 << 30), 2)
    refused(path, "is compressed|damaged")
    packed(path, members())
    altered(path, ONES.tobytes(), ONES.tobytes()[:-1] + b"\x40", 1)
    refused(path, "member 'a/data/0' is damaged")


def test_a_piece_cut_out(tmp_path):
    path = tmp_path / "m.pth"
    packed(path, members())
    data = path.read_bytes()
    for first, last in ((4, 40), (60, 100)):
        path.write_bytes(data[:first] + data[last:])
        refused(path, "is not where the directory says")


def test_without_checksums(tmp_path):
    """torch.serialization.set_crc32_options(False) leaves them out, as zeros."""
    path = tmp_path / "m.pth"
    packed(path, members())
    with zipfile.ZipFile(path) as file:
        crc = file.getinfo("a/data/0").CRC
    altered(path, struct.pack("<I", crc), bytes(4), 2)
    assert read_state_dict(path)["x"].tolist() == [1, 1, 1, 1]


# ---- the stream


def test_other_streams(tmp_path):
    path = tmp_path / "m.pth"
    value, storages = good(w.Storages(legacy=True))
    for keys in ([], ["0", "0"], ["1"], ["0", "1"], [0], "0", None):
        data = w.MAGIC + w.pickled(1001) + w.pickled({}) + w.pickled(value) + w.pickled(keys) + struct.pack("<q", 4) + storages.bytes(0)
        path.write_bytes(data)
        refused(path, "list of its storages is not the one")
    for count in (3, 5, -1, 1 << 62):
        path.write_bytes(w.MAGIC + w.pickled(1001) + w.pickled({}) + w.pickled(value) + w.pickled(["0"]) + struct.pack("<q", count) + storages.bytes(0))
        refused(path, f"storage '0' has {count} numbers, not the 4")
    path.write_bytes(w.MAGIC + w.pickled(1002) + w.pickled({}))
    refused(path, "of a version that numbacnn does not know")
    path.write_bytes(pickle.dumps({"a": 1}))
    refused(path, "is no file of PyTorch's")
    module = w.Persistent(("module", w.Name("collections", "OrderedDict"), "net.py", "class Net: ..."))
    w.write_stream(path, module, w.Storages(legacy=True))
    refused(path, r"a whole model, code included.*torch\.save\(model\.state_dict\(\)")
    twice = w.Storages(legacy=True)
    both = {"x": w.tensor(twice.storage(ONES), 0, (4,), (1,)), "y": w.tensor(twice.again(0, "Int", 4), 0, (4,), (1,))}
    w.write_stream(path, w.ordered(both), twice)
    refused(path, "two different things")
    for view, message in ((("v", 2, 3), "a view reaches beyond storage"), (("v", -1, 3), "no integer"), ("v", "no triple")):
        part = w.Storages(legacy=True)
        w.write_stream(path, w.ordered({"x": w.tensor(part.storage(ONES, view=view), 0, (1,), (1,))}), part)
        refused(path, message)


def test_not_pytorch(tmp_path):
    refused(tmp_path / "none.pth", "there is no file")
    refused(tmp_path, "is no file but a folder")
    tar = bytes(257) + b"ustar\x0000" + bytes(300)
    strange = "no file that torch.save wrote"
    for data, message in ((b"", "is empty"), (b"hello" * 200, strange), (b"\x89HDF\r\n\x1a\n", strange), (tar, "tar format")):
        (tmp_path / "m.pth").write_bytes(data)
        refused(tmp_path / "m.pth", message)


# ---- damage


def files() -> dict[str, bytes]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for layout in ("zip", "stream"):
            storages = w.Storages(legacy=layout == "stream")
            state = {"a.weight": storages.tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "a.bias": storages.tensor(ONES)}
            w.write(layout, Path(folder) / "m", {"state_dict": w.ordered(state), "epoch": 3}, storages)
            found[layout] = (Path(folder) / "m").read_bytes()
    return found


GOOD = files()


@pytest.mark.parametrize("layout", GOOD)
def test_truncated_at_every_length(tmp_path, layout):
    path = tmp_path / "m.pth"
    for length in range(len(GOOD[layout])):
        path.write_bytes(GOOD[layout][:length])
        refused(path)
    path.write_bytes(GOOD[layout])
    assert list(read_state_dict(path)) == ["a.weight", "a.bias"]


@pytest.mark.parametrize("layout", GOOD)
def test_flipped_bytes_never_crash(tmp_path, layout):
    path, chance = tmp_path / "m.pth", random.Random(0)
    for _ in range(400):
        data = bytearray(GOOD[layout])
        for _ in range(chance.choice((1, 1, 4, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            found = read_state_dict(path)
        except FileError as error:
            assert str(path) in str(error)
        else:
            assert all(isinstance(a, np.ndarray) for a in found.values())


opcodes = st.sampled_from([bytes([b]) for b in b"\x80\x95(01N\x88JKM\x8aG)t\x85\x86\x87]ae}suqrhjcRbQ\x81\x93."])


@settings(max_examples=100)
@given(st.lists(st.one_of(opcodes, st.binary(max_size=6)), max_size=40))
def test_any_pickle(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("any") / "m.pth"
    for layout in ("zip", "stream"):
        w.write(layout, path, b"\x80\x02" + b"".join(parts) + b".", w.Storages())
        refused(path)
