"""The emulation of the GPU's instructions against the PTX ISA's words; nothing here runs on a GPU.

The tables of fragments are the ISA's ("Matrix Fragments for mma.m16n8k8" and "… mma.m16n8k16"), element by element as it prints them.
"""

import numpy as np
import pytest

from numbacnn import simulator as cuda
from numbacnn.kernels import ptx, rounding
from numbacnn.simulator import SimulationError

F4, U4 = np.float32, np.uint32


def tf32_a(lane, i):
    g, t = lane >> 2, lane % 4
    return (g if i in (0, 2) else g + 8), (t if i in (0, 1) else t + 4)


def tf32_b(lane, i):
    g, t = lane >> 2, lane % 4
    return (t if i == 0 else t + 4), g


def bf16_a(lane, i):
    g, t = lane >> 2, lane % 4
    return (g if 0 <= i < 2 or 4 <= i < 6 else g + 8), (t * 2 + (i & 1) if i < 4 else t * 2 + (i & 1) + 8)


def bf16_b(lane, i):
    g, t = lane >> 2, lane % 4
    return (t * 2 + (i & 1) if i < 2 else t * 2 + (i & 1) + 8), g


def result(lane, i):
    g, t = lane >> 2, lane % 4
    return (g if i < 2 else g + 8), t * 2 + (i & 1)


def rounded(x, precision):
    y = np.empty_like(x)
    rounding.KERNELS[precision](x, y)
    return y


def warp(work, *args, threads=32, backwards=False):
    """Run a function of the simulated thread."""
    cuda.launch(work, 1, threads, args, backwards=backwards)


def tf32(fragment):
    return tuple(U4(F4(x).view(U4)) for x in fragment)


def bf16(fragment):
    bits = [int(F4(x).view(U4)) >> 16 for x in fragment]
    return tuple(U4(low | high << 16) for low, high in zip(bits[::2], bits[1::2], strict=True))


PRODUCTS = {
    "tf32": (ptx.mma_tf32, 8, tf32_a, 4, tf32_b, 2, tf32),
    "bf16": (ptx.mma_bf16, 16, bf16_a, 8, bf16_b, 4, bf16),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("precision", PRODUCTS)
def test_emulated_product_has_the_isa_s_fragments(precision, backwards):
    multiply, depth, at_a, many_a, at_b, many_b, packed = PRODUCTS[precision]
    generator = np.random.default_rng(3)
    a, b = (rounded(generator.standard_normal(shape).astype(F4), precision) for shape in ((16, depth), (depth, 8)))
    c = generator.standard_normal((16, 8)).astype(F4)
    found = np.full((16, 8), np.nan, F4)

    def work():
        lane = cuda.threadIdx.x
        mine = packed([a[at_a(lane, i)] for i in range(many_a)]), packed([b[at_b(lane, i)] for i in range(many_b)])
        for i, value in enumerate(multiply(*mine, tuple(c[result(lane, i)] for i in range(4)))):
            found[result(lane, i)] = value

    warp(work, backwards=backwards)
    np.testing.assert_allclose(found, c + a.astype(np.float64) @ b, rtol=2e-7, atol=2e-7)


def test_product_of_numbers_that_are_not_rounded_is_refused():
    def work():
        ptx.mma_tf32((F4(1.0001).view(U4),) * 4, (U4(0),) * 2, (F4(0),) * 4)

    with pytest.raises(SimulationError, match="take to_tf32"):
        warp(work)


def test_product_takes_a_whole_warp():
    with pytest.raises(SimulationError, match="warp of 31 threads"):
        warp(lambda: ptx.mma_tf32((U4(0),) * 4, (U4(0),) * 2, (F4(0),) * 4), threads=31)


def test_nan_and_infinity_pass_through_a_product():
    seen = []

    def work():
        lane = cuda.threadIdx.x
        a = (ptx.to_tf32(F4(np.nan)) if lane == 0 else U4(0), ptx.to_tf32(F4(np.inf)) if lane == 0 else U4(0), U4(0), U4(0))
        seen.append(ptx.mma_tf32(a, (ptx.to_tf32(F4(1)),) * 2, (F4(0),) * 4))

    warp(work)
    assert np.isnan(seen[0][:2]).all() and np.isinf(seen[0][2:]).all() and not np.any(seen[4])


def test_conversions_round_as_the_cpu_does():
    x = np.random.default_rng(1).standard_normal(200).astype(F4)
    x = np.concatenate([x, np.array([0, -0.0, np.inf, -np.inf, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 3e38, 3.4028235e38, 1e-40], F4)])
    assert np.array_equal(np.array([ptx.to_tf32(v) for v in x], U4), rounded(x, "tf32").view(U4))
    pairs = np.array([ptx.pack_bf16(*v) for v in x.reshape(-1, 2)], U4)
    assert np.array_equal((pairs.view("<u2").astype(U4) << U4(16)), rounded(x, "bf16").view(U4))
    assert np.isnan(ptx.to_tf32(F4(np.nan)).view(F4)) and np.isnan((ptx.pack_bf16(F4(np.nan), F4(0)) << U4(16)).view(F4))


def test_wide_loads_and_stores():
    x, y = np.arange(8, dtype=F4), np.zeros(8, F4)

    def work():
        a, b, c, d = ptx.load4(x, 4)
        ptx.store4(y, 0, d, c, b, a)
        ptx.store1(y, 7, ptx.load1(x, 3))

    warp(work, threads=1)
    assert y.tolist() == [7, 6, 5, 4, 0, 0, 0, 3]


@pytest.mark.parametrize(
    "work, reason",
    [
        (lambda x: ptx.load4(x, 2), "multiple of 16 bytes"),
        (lambda x: ptx.load4(x, 8), "elements 8 to 11 of an array of 8"),
        (lambda x: ptx.load1(x, -1), "elements -1 to -1"),
        (lambda x: ptx.store4(x, 1, 0, 0, 0, 0), "multiple of 16 bytes"),
        (lambda x: ptx.load4(x.reshape(2, 4), 0), "more than one axis"),
        (lambda x: ptx.load4(cuda.shared.array(8, F4), 0), "say alignment=16"),
        (lambda x: ptx.cp_async16(x, 0, x, 4, 16), "no shared memory"),
        (lambda x: ptx.cp_async16(cuda.shared.array(8, F4, alignment=16), 2, x, 4, 16), "destination: element 2"),
        (lambda x: ptx.cp_async16(cuda.shared.array(8, F4, alignment=16), 4, x, 1, 16), "source: element 1"),
        (lambda x: ptx.cp_async16(cuda.shared.array(8, F4, alignment=16), 4, x, 0, 20), "20 bytes of 16"),
        (lambda x: ptx.cp_async4(cuda.shared.array(8, F4), 4, x, 8, 4), "source: elements 8"),
    ],
)
def test_what_a_gpu_would_not_forgive_is_an_error(work, reason):
    x = np.empty(12, F4)
    x = x[-x.__array_interface__["data"][0] // 4 % 4 :][:8]
    with pytest.raises(SimulationError, match=reason):
        warp(work, x, threads=1)


def test_copies_arrive_at_their_wait_and_borders_are_zero():
    source = np.arange(16, dtype=F4)
    seen = {}

    def work():
        tile = cuda.shared.array(16, F4, alignment=16)
        ptx.cp_async16(tile, 0, source, 4, 16)
        ptx.cp_async16(tile, 4, source, 8, 8)
        ptx.cp_commit()
        ptx.cp_async16(tile, 8, source, 10**9, 0)
        ptx.cp_async4(tile, 12, source, 15, 4)
        ptx.cp_async4(tile, 13, source, -5, 0)
        ptx.cp_commit()
        ptx.cp_async4(tile, 14, source, 1, 4)  # never committed
        seen["at first"] = tile.copy()
        ptx.cp_wait(1)
        seen["older group"] = tile.copy()
        ptx.cp_wait(0)
        seen["all"] = tile.copy()

    warp(work, threads=1)
    assert np.isnan(seen["at first"]).all()
    assert seen["older group"][:8].tolist() == [4, 5, 6, 7, 8, 9, 0, 0] and np.isnan(seen["older group"][8:]).all()
    assert seen["all"][8:14].tolist() == [0, 0, 0, 0, 15, 0] and np.isnan(seen["all"][14:]).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_a_missing_wait_or_barrier_is_seen(backwards):
    source, y = np.arange(128, dtype=F4), np.empty(128, F4)

    def work(waits, barrier):
        tile, i = cuda.shared.array(128, F4, alignment=16), 4 * cuda.threadIdx.x
        ptx.cp_async16(tile, i, source, i, 16)
        ptx.cp_commit()
        if waits:
            ptx.cp_wait(0)
        if barrier:
            cuda.syncthreads()
        y[i : i + 4] = tile[124 - i : 128 - i]

    for waits, barrier in ((True, True), (False, True), (True, False)):
        warp(work, waits, barrier, backwards=backwards)
        assert np.isnan(y).any() == (not (waits and barrier))


def test_division_of_32_bits():
    seen = []
    warp(lambda: seen.extend([ptx.divide(17, 5), ptx.divide(2**32 - 1, 2**31)]), threads=1)
    assert seen == [(3, 2), (1, 2**31 - 1)]
    for a, b in ((-1, 3), (5, 0), (2**32, 3)):
        with pytest.raises(SimulationError, match="without a sign"):
            warp(lambda a=a, b=b: ptx.divide(a, b), threads=1)
