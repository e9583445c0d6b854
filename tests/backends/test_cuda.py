"""The CUDA backend on the simulated device: parameters, weights that go there and come home, training from end to end, refusals."""

import subprocess
import sys
import threading
from collections import deque

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import driver, open_backend
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.device_array import DeviceArray, Memory, parameters
from numbacnn.backends.simulated import Simulated
from numbacnn.jit import kernel, prange
from numbacnn.train.goals import Totals


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    monkeypatch.setenv("NUMBACNN_SIMULATE", "1")


@kernel
def mixed(x, factors, count, flag, y):
    for i in prange(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = x[i, j] * factors[0] + factors[1] * count if flag else x[i, j]


def test_parameters_are_laid_out_as_numba_cuda_has_them():
    array = DeviceArray(Memory(Simulated(), 96), 16, (2, 3), np.dtype(np.float32))
    values = parameters((array, (np.float32(2), np.float32(3)), 4, True, np.float64(0.5)))
    assert [v.item() for v in values] == [0, 0, 6, 4, array.address, 2, 3, 12, 4, 2.0, 3.0, 4, 1, 0.5]
    assert [v.nbytes for v in values[-5:]] == [4, 4, 8, 1, 8]


def test_a_launch():
    backend = CUDA()
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    there, y = backend.constant(x), backend.view(backend.allocate(24), 0, (2, 3), np.float32)
    backend.run([backend.bind(mixed, (there, (np.float32(2), np.float32(3)), 4, True, y))])
    assert np.array_equal(backend.download(y), x * 2 + 12)


def test_arrays_are_parts_of_memory():
    array = DeviceArray(Memory(Simulated(), 96), 0, (4, 6), np.dtype(np.float32))
    part = array.reshape(-1)[6:18].reshape(3, 4)
    assert (part.address - array.address, part.shape, part.strides) == (24, (3, 4), (16, 4))
    with pytest.raises(ValueError, match="24 elements"):
        array.reshape(5, 5)


def test_uploads_do_not_disturb_what_was_launched_before():
    backend = CUDA()
    array = backend.view(backend.allocate(16), 0, (4,), np.float32)
    for i in range(5):
        backend.upload([(array, np.full(4, i))])
        assert backend.download(array).tolist() == [i] * 4


def model(device, seed=1, **options):
    x = nn.Input((5, 4, 2))
    y = nn.Conv2D(4, 3, padding="same", use_bias=False)(x)
    y = nn.ReLU()(nn.BatchNormalization()(y))
    y = nn.Dropout(0.2)(nn.MaxPooling2D(2)(y))
    y = nn.Dense(3, activation="softmax")(nn.Flatten()(y))
    made = nn.Model(x, y, seed=seed)
    made.compile("adam", "cross_entropy", ["accuracy"], device=device, **options)
    return made


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 10)
    return (generator.standard_normal((10, 5, 4, 2)) + y[:, None, None, None]).astype(np.float32), y


def test_training_is_that_of_the_cpu(data):
    x, y = data
    ours, cpu = model("cuda"), model("cpu")
    for m in (ours, cpu):
        m.history = m.fit(x, y, epochs=2, batch_size=4, validation_data=(x, y))
    assert ours.network.backend.name == "cuda"
    for column in ("train_loss", "valid_loss"):
        assert np.allclose(ours.history[column], cpu.history[column], rtol=1e-4)
    for a, b in zip(ours.get_weights(), cpu.get_weights(), strict=True):
        assert np.allclose(a, b, atol=1e-4)
    assert np.allclose(ours.predict(x), cpu.predict(x), atol=1e-4)


def test_weights_that_the_host_changes_get_there(data, tmp_path):
    x, y = data
    ours, cpu = model("cuda"), model("cpu", seed=2)
    ours.fit(x, y, batch_size=5)
    cpu.set_weights(ours.get_weights())
    assert np.allclose(ours.predict(x), cpu.predict(x), atol=1e-5)
    cpu.fit(x, y, batch_size=5)
    ours.set_weights(cpu.get_weights())
    assert np.allclose(ours.predict(x), cpu.predict(x), atol=1e-5)
    ours.save(tmp_path / "m.h5")
    assert np.allclose(nn.load(tmp_path / "m.h5").predict(x), cpu.predict(x), atol=1e-5)


def test_a_run_may_be_started_before_the_last_ones_result_is_seen(data):
    x, _ = data
    made = model("cuda")
    expected = [made.predict(x[i : i + 2]) for i in (0, 2, 4)]
    plan = made.network.plan("predict", [x[:2]])
    running = [plan.start([x[i : i + 2]]) for i in (0, 2, 4)]
    assert all(np.array_equal(result().outputs[0], wanted) for result, wanted in zip(running, expected, strict=True))
    assert np.array_equal(made.predict(x[:6], batch_size=2), np.concatenate(expected))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("waits", [(None, None, None, None), (True, False, True, False)])
@pytest.mark.parametrize("bad", [1, 2, 4])
def test_a_loss_that_is_not_finite_changes_nothing(data, device, waits, bad):
    """Although a GPU already has the next step to do when it is seen."""
    x, y = data
    batches = [(x[i : i + 2], y[i : i + 2]) for i in range(0, 8, 2)]
    made, other = model(device), model(device)
    totals = Totals()
    with pytest.raises(nn.NotFiniteError, match="holds NaN") as found:
        for i, batch in enumerate(batches, 1):
            asked = i
            made.session.train((batch[0] * np.float32(np.nan if i == bad else 1), batch[1]), totals, None, waits[i - 1])
        made.session.settle()
    assert asked - found.value.later == bad
    assert found.value.later == (device == "cuda" and bad == 2)
    for m, todo in ((other, slice(bad - 1)), (made, slice(bad - 1, 4)), (other, slice(bad - 1, 4))):
        if m is made:
            assert m.session.counts() == other.session.counts()
            for a, b in zip(m.get_weights(), other.get_weights(), strict=True):
                assert np.array_equal(a, b)
        totals = Totals()
        for batch, wait in zip(batches[todo], waits[todo], strict=True):
            m.session.train(batch, totals, None, wait)
        m.session.settle()
    for a, b in zip((*made.get_weights(), *made.session.state().values()), (*other.get_weights(), *other.session.state().values()), strict=True):
        assert np.array_equal(a, b)


def test_a_fit_names_the_batch_that_went_bad(data):
    x, y = data
    x = x.copy()
    x[3] = np.nan
    with pytest.raises(
        nn.NotFiniteError, match=r"in epoch 1, batch 2: the loss is not finite because input '.*' holds NaN or infinity: check the data\. The weights"
    ):
        model("cuda").fit(x, y, batch_size=2, shuffle=False)


def test_models_that_share_layers_share_what_they_learn(data):
    x, y = data
    whole = model("cuda")
    part = nn.Model(whole.input, whole.layers[1].output)
    part.network.use("cuda")
    part.predict(x[:2])
    whole.fit(x, y, batch_size=5)
    kernel = whole.layers[1].get_weights()[0]
    other = nn.Model(whole.input, whole.layers[1].output)
    other.network.use("cpu")
    assert np.abs(kernel).max() > 0
    assert np.allclose(part.predict(x[:2]), other.predict(x[:2]), atol=1e-5)


def test_the_optimizer_goes_on_where_it_was(data):
    """State comes home and goes back: two fits of one epoch are a fit of two."""
    x, y = data
    twice, resumed = model("cuda"), model("cuda")
    for _ in range(2):
        twice.fit(x, y, batch_size=5, shuffle=False)
    resumed.fit(x, y, batch_size=5, shuffle=False)
    resumed.session.restore(resumed.session.state())
    resumed.fit(x, y, batch_size=5, shuffle=False)
    for a, b in zip(twice.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_the_launches_can_be_shown(capsys):
    made = nn.Sequential([nn.Input((3,)), nn.Dense(2)])
    made.network.use("cuda")
    made.summary(plan=True)
    shown = capsys.readouterr().out
    assert "Plan for one image on cuda" in shown
    assert "GFLOP/s" in shown
    assert "; peak " not in shown  # what the CPU can do is no measure


def test_without_a_driver_the_reason_is_said(monkeypatch):
    monkeypatch.delenv("NUMBACNN_SIMULATE")
    if driver.absent() is None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(nn.DeviceError, match=r"device 'cuda' cannot be used: (no NVIDIA driver was found|the driver is there)"):
        open_backend("cuda")


def test_a_kernel_without_twin_is_named():
    @kernel(vector=True)
    def wide(x, y):
        for i in prange(y.size):
            y[i] = x[i]

    assert CUDA().refuses(wide) == "it is made of the CPU's vectors and has no CUDA twin"


def test_the_cpu_imports_nothing_of_cuda():
    code = (
        "import sys, numpy as np, numbacnn as nn\n"
        "m = nn.Sequential([nn.Input((3,)), nn.Dense(2)]); m.predict(np.zeros((1, 3)))\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('cuda', 'numba_cuda', 'greenlet') or n.startswith('numba.cuda')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=None)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_thread_that_waits_sees_what_another_one_is_fetching():
    taken, go_on = threading.Event(), threading.Event()

    class Held(deque):
        def popleft(self):
            first = super().popleft()
            taken.set()
            go_on.wait(5)
            return first

    driver, seen = Simulated(), []
    source, target = np.full(4, 7.0), np.zeros(4)
    driver.fetched = Held()
    driver.fetch(target.ctypes.data, source.ctypes.data, source.nbytes)
    threads = [threading.Thread(target=driver.wait), threading.Thread(target=lambda: (driver.wait(), seen.append(target.copy())))]
    threads[0].start()
    assert taken.wait(5)
    threads[1].start()
    threads[1].join(0.2)  # it would be done by now if it waited for nothing
    go_on.set()
    for thread in threads:
        thread.join()
    assert seen[0].tolist() == [7] * 4
