"""Kernels are compiled with a share of their loop, and launched by several threads: every job once, errors heard, nobody waited for."""

import threading
import time
import warnings

import numba
import numpy as np
import pytest
from test_jit import script

from numbacnn import cache, jit, launch

pytestmark = pytest.mark.skipif(jit.INTERPRETED, reason="there is no machine code")
THREADS = (1, 2, 3, 5)


@jit.kernel
def count(first, y):
    start = first[0]
    for i in jit.prange(y.size):
        y[i] += start + i


@jit.kernel
def scale_and_sum(x, y, total):
    for i in jit.prange(y.size):
        y[i] = 2 * x[i]
    for i in range(y.size):
        total[0] += y[i]


@pytest.mark.parametrize("size", [0, 1, 2, 7, 64, 4095, 4096, 4097, 100_003])
def test_every_job_is_done_once(size):
    for threads in THREADS:
        y = np.zeros(size, np.int64)
        launch.replay([launch.Launch(*count.compile(count.signature((y[:0], y))), (np.array([5]), y))], threads)
        assert (y == 5 + np.arange(size)).all()


def test_what_follows_the_loop_runs_once_and_last():
    for threads in THREADS:
        x, y, total = np.ones(9999), np.zeros(9999), np.zeros(1)
        launch.replay([scale_and_sum.bind(x, y, total)] * 20, threads)
        assert total[0] == 20 * 2 * 9999


@numba.njit
def checked(x):
    if x < 0:
        raise ValueError("below zero")
    return x + 1


@jit.kernel
def check(x, y):
    for i in jit.prange(y.size):
        y[i] = checked(x[i])


def test_errors_are_raised_and_the_launches_behind_do_not_run():
    x, y, total = np.ones(50), np.zeros(50), np.zeros(1)
    x[49] = -1
    for threads in THREADS:
        with pytest.raises(ValueError, match="below zero"):
            launch.replay([check.bind(x, y), scale_and_sum.bind(x, y, total)], threads)
        assert total[0] == 0
    x[49] = 1
    launch.replay([check.bind(x, y)], 2)
    assert (y == 2).all()


def test_a_function_that_a_kernel_uses_can_be_called_from_python(tmp_path):
    text = """
        import numba, numpy as np
        from numbacnn import jit
        @numba.njit
        def inner(x):
            if x > 8: raise ValueError("too large")
            return 2 * x
        @jit.compiled
        def outer(x): return inner(x) + 1
        @jit.kernel
        def run(x, y):
            for i in jit.prange(y.size):
                y[i] = outer(x[i])
        y = np.zeros(3)
        run(np.ones(3), y)
        try: outer(9.0)
        except ValueError as error: print(str(error).replace(" ", "-"))
        @numba.njit
        def later(x): return outer(x) + inner(x)
        print(y[0], outer(1.0), inner(3), outer(2.0), later(1.0))
    """
    assert script(text, tmp_path) == ["too-large", "3.0", "3.0", "6", "5.0", "5.0"]


@jit.kernel
def take(a, b, flag, small, whole, pair, y):
    for i in jit.prange(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = a[i, j] + b[j] * small + (whole if flag else 0) + pair[0] * pair[1][0]


def test_arguments_of_every_kind():
    a, b, y = np.arange(24.0).reshape(4, 6).T, np.arange(8.0)[::2], np.zeros((6, 4))
    b.flags.writeable = False
    for flag in (True, False):
        take(a, b, flag, np.float32(0.5), np.int8(-3), (2, (np.uint64(7), 1.5)), y)
        assert np.array_equal(y, a + b * 0.5 + (-3 if flag else 0) + 14)
    with pytest.raises(TypeError, match="arrays, numbers and tuples of numbers, not none"):
        take(a, b, None, np.float32(0.5), np.int8(-3), (2, (np.uint64(7), 1.5)), y)


@jit.kernel
def passes(ids, y):
    for _ in range(3):
        for i in jit.prange(y.size):
            y[i] += 1
            ids[i] = numba.get_thread_id()
        for i in jit.prange(y.size):
            y[i] *= 2


@jit.kernel
def ids_of(ids):
    for i in jit.prange(ids.size):
        ids[i] = numba.get_thread_id()


def test_several_loops_and_thread_numbers():
    ids, y = np.full(1000, -1), np.zeros(1000)
    passes(ids, y)
    assert (y == 14).all()
    assert ids.min() >= 0 and ids.max() < numba.config.NUMBA_NUM_THREADS
    for threads in THREADS:
        ids[:] = -1
        launch.replay([ids_of.bind(ids)], threads)
        assert ids.min() >= 0 and ids.max() < threads


def test_several_python_threads_launch_at_once():
    arrays = [np.zeros(5000, np.int64) for _ in range(4)]

    def work(y):
        bound = count.bind(np.zeros(1, np.int64), y)
        for _ in range(200):
            launch.replay([bound, bound], 2)

    workers = [threading.Thread(target=work, args=(y,)) for y in arrays]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all((y == 400 * np.arange(5000)).all() for y in arrays)


def test_a_forked_child_launches_too(tmp_path):
    text = """
        import os, sys
        import numpy as np
        from numbacnn import jit, launch
        @jit.kernel
        def fill(y):
            for i in jit.prange(y.size): y[i] = i
        def run():
            y = np.zeros(70000)
            launch.replay([fill.bind(y)] * 50, 2)
            return int((y == np.arange(70000)).all())
        if not hasattr(os, "fork"): print("1 1"); sys.exit()
        print(run(), flush=True)
        child = os.fork()
        if child == 0: os._exit(7 * run())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert script(text, tmp_path) in (["1", "7"], ["1", "1"])


# ---- the cache's files


def test_a_damaged_or_outdated_file_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBACNN_CACHE", str(tmp_path))
    entry = cache.Entry(count.func, (numba.int64,), "stamp")
    assert entry.read() is None and not entry.is_there()
    entry.write(3, b"code" * 100)
    assert entry.read() == (3, b"code" * 100) and entry.is_there()
    other = cache.Entry(count.func, (numba.int64,), "another stamp")
    assert other.file == entry.file and other.read() is None and not other.is_there()
    whole = entry.file.read_bytes()
    for damaged in (whole[:-1], whole[:70], whole[:64], whole[:20], b"", whole[:-1] + b"x"):
        entry.file.write_bytes(damaged)
        assert entry.read() is None
    assert [p.suffix for p in tmp_path.iterdir()] == [".kernel"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBACNN_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"cannot be kept in .*file.*NUMBACNN_CACHE"):
        cache.Entry(count.func, (numba.int64,), "stamp").write(0, b"code")


def test_only_workqueue_is_said_once_with_the_remedy(monkeypatch):
    monkeypatch.setattr(numba, "threading_layer", lambda: "workqueue")
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)
    jit._check_layer.cache_clear()
    with pytest.warns(jit.ThreadingWarning, match="libgomp1"):
        jit._check_layer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jit._check_layer()
    jit._check_layer.cache_clear()


def test_a_helper_that_falls_asleep_hears_who_called_meanwhile(monkeypatch):
    """Python's lock may keep a helper that is tired from saying so until a launch has begun: without it the launch ran on one thread."""
    pool, again = launch._Pool(), threading.Event()

    class Engine:
        served = 0

        def serve(self, *_):
            self.served += 1
            if self.served > 1:
                again.set()
                threading.Event().wait()  # for good: it is a daemon
            while not pool.helpers:
                time.sleep(0.001)
            pool.wake(2)  # the helper is not marked as asleep yet

    engine = Engine()
    monkeypatch.setattr(launch, "engine", lambda: engine)
    pool.wake(2)
    assert again.wait(20)
