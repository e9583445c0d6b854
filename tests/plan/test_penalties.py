"""Penalties on weights are summed in parts of a fixed size, on both devices."""

import numpy as np

from numbacnn.plan.kernels import PART, penalties


def test_parts_of_a_large_weight():
    w = np.random.default_rng(0).standard_normal(2 * PART + 77).astype(np.float32)
    l1, l2 = np.float32(0.25), np.float32(0.5)
    cpu, gpu = np.full((2, 3), np.nan)
    penalties(w, l1, l2, cpu)
    penalties.on_gpu.simulate((w, l1, l2, gpu))
    wide = w.astype(np.float64)
    expected = [(0.25 * np.abs(p) + 0.5 * p * p).sum() for p in np.split(wide, (PART, 2 * PART))]
    np.testing.assert_allclose(cpu, expected, rtol=1e-7)
    np.testing.assert_allclose(gpu, expected, rtol=1e-7)
