"""The cache notices every change and never changes a bit; kernels, twins, threads."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from numbacnn import jit
from numbacnn.backends import compilers
from numbacnn.backends.cpu import CPU
from numbacnn.kernels import elementwise
from numbacnn.layers.leaky_relu import LeakyReLU


def script(text, tmp_path, timeout=300, **environment):
    """Standard output of a Python process with a cache of its own and threads."""
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    variables = {**os.environ, "NUMBACNN_CACHE": str(tmp_path / "cache"), "NUMBACNN_SERIAL": "0", "PYTHONPATH": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=variables, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_helper_in_another_file_that_changes_is_noticed(tmp_path):
    text = """
        import numpy as np
        from numbacnn import jit
        from helper import amount
        @jit.kernel(parallel=False)
        def shift(x, y):
            for i in range(y.size):
                y[i] = x[i] + amount()
        y = np.zeros(2)
        shift(np.ones(2), y)
        print(int(y[0]), jit.statistics.compiled, jit.statistics.loaded)
    """
    helper = "from numbacnn import jit\n@jit.compiled\ndef amount():\n    return {}\n"
    (tmp_path / "helper.py").write_text(helper.format(1))
    assert script(text, tmp_path) == ["2", "1", "0"]
    assert script(text, tmp_path) == ["2", "0", "1"]
    (tmp_path / "helper.py").write_text(helper.format(40))
    assert script(text, tmp_path) == ["41", "1", "0"]


def test_a_module_that_is_gone_means_compiling_anew(tmp_path):
    body = """
        @jit.kernel
        def half(x, y):
            for i in jit.prange(y.size):
                y[i] = x[i] / 2
        y = np.zeros(2)
        half(np.ones(2), y)
    """
    (tmp_path / "gone.py").write_text(textwrap.dedent("import numpy as np\nfrom numbacnn import jit\n" + textwrap.dedent(body)))
    assert script("import gone; print(gone.y[0])", tmp_path) == ["0.5"]
    moved = (tmp_path / "gone.py").rename(tmp_path / "stays.py")
    assert moved.exists()
    assert script("import stays; print(stays.y[0])", tmp_path) == ["0.5"]


def test_the_same_bits_fresh_and_from_the_cache_and_for_one_and_two_threads(tmp_path):
    text = """
        import sys, hashlib
        import numpy as np
        import numbacnn as nn
        from numbacnn import jit
        from numbacnn.backends import cpu
        cpu.SMALL = 0  # share out the smallest launches, too
        x = nn.Input((9, 7, 3))
        y = nn.ReLU()(nn.BatchNormalization()(nn.Conv2D(17, 3, padding="same")(x)))
        y = nn.Add()([nn.Mish()(y), nn.DepthwiseConv2D(3, padding="same")(y)])
        y = nn.Dropout(0.2)(nn.GlobalAveragePooling2D()(nn.MaxPooling2D(3, 2)(y)))
        model = nn.Model(x, nn.Dense(5)(y), seed=1)
        model.compile(nn.Adam(weight_decay=0.01, global_clipnorm=1.0), "cross_entropy", threads=int(sys.argv[1]) if len(sys.argv) > 1 else None)
        generator = np.random.default_rng(0)
        x, y = generator.standard_normal((13, 9, 7, 3)), generator.integers(0, 5, 13)
        model.fit(x, y, epochs=2, batch_size=5)
        weights = b"".join(w.tobytes() for w in model.get_weights()) + model.predict(x).tobytes()
        print(hashlib.sha256(weights).hexdigest(), jit.statistics.compiled > 0)
    """
    fresh, compiled = script(text, tmp_path)
    assert compiled == "True"
    cached, compiled = script(text, tmp_path)
    assert compiled == "False" and cached == fresh
    one, _ = script(text.replace("int(sys.argv[1]) if len(sys.argv) > 1 else None", "1"), tmp_path)
    assert one == fresh


@pytest.mark.slow
def test_every_layer_gives_the_same_bits_for_one_and_two_threads(tmp_path):
    text = """
        import sys, hashlib
        import numpy as np
        from numbacnn import registry, testing
        from numbacnn.backends import cpu
        cpu.SMALL = 0
        classes = sorted({registry.layers[n] for n in registry.layers} - {registry.layers["Input"]}, key=lambda c: c.__name__)
        for cls in classes:
            digests = []
            for threads in (1, 2):
                cpu.jit.available_threads = lambda threads=threads: threads
                found = hashlib.sha256()
                for layer, *shapes in cls.examples():
                    generator = np.random.default_rng(0)
                    weights = testing.draw_weights(layer, shapes, generator, np.float32)
                    xs = [x.astype(np.float32) for x in testing.draw_inputs(shapes, 3, generator)]
                    plan = testing.plan_of(layer, shapes, 3, weights, training=True)
                    result = plan.run(xs, shares=[generator.standard_normal(plan.trace.seeds[0].shape)], clock=(1, 2))
                    found.update(result.outputs[0].tobytes())
                    for name in plan.trace.input_gradients: found.update(plan.input_gradient(name).tobytes())
                    for path in plan.trace.weight_gradients: found.update(plan.weight_gradient(path).tobytes())
                digests.append(found.hexdigest())
            assert digests[0] == digests[1], cls.__name__
        print(len(classes))
    """
    assert int(script(text, tmp_path, timeout=1500)[0]) > 40


@jit.kernel
def double(x, y):
    for i in jit.prange(y.size):
        y[i] = 2 * x[i]


def test_a_twin_has_the_same_parameters():
    with pytest.raises(TypeError, match=r"twin\('x', 'z'\) is no twin of double\('x', 'y'\)"):

        @double.cuda
        def twin(x, z): ...


def test_kernels_can_be_pickled_by_their_recipe():
    made = elementwise.forward((LeakyReLU.f,), "LeakyReLU", np.float32)
    assert pickle.loads(pickle.dumps(made)) is made
    assert pickle.loads(pickle.dumps(double)) is double


def test_workers_compile_what_is_missing(tmp_path):
    text = """
        import numpy as np
        import numbacnn as nn
        from numbacnn import jit
        from numbacnn.backends import compilers
        x = nn.Input((4, 4, 2))
        model = nn.Model(x, [layer(x) for layer in (nn.ReLU(), nn.ELU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.Swish())], seed=0)
        model.predict(np.ones((1, 4, 4, 2)))
        print(jit.statistics.compiled, jit.statistics.loaded)
    """
    compiled, loaded = script(text, tmp_path, NUMBACNN_WORKERS="2", NUMBACNN_SERIAL="1")
    assert compiled == loaded == "6"


def test_a_kernel_that_no_worker_can_find_is_compiled_here():
    def local(x, y):
        for i in range(y.size):
            y[i] = x[i]

    assert compilers._pack(jit.Kernel(local), [()]) is not None, "found by name"
    x, y = np.ones(3), np.zeros(3)
    made = jit.Kernel(local, parallel=False)
    compilers.compile_ahead([(made, made.signature((x, y)))])
    made(x, y)
    assert (y == 1).all()


def test_threads_respect_what_the_process_may_use(monkeypatch):
    assert 1 <= jit.available_threads() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
        assert jit.available_threads() == 1
        assert CPU().threads == 1
