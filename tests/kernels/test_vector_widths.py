"""All kernel tests once more, in processes whose compiler is kept to narrower registers than this machine may have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FEATURES = {"SSE2": "+sse2", "AVX2": "+avx,+avx2,+fma"}
BYTES = {"SSE2": 16, "AVX2": 32}


@pytest.mark.parametrize("name", FEATURES)
def test_width_follows_the_environment(name):
    code = "from numbacnn.kernels.width import BYTES; print(BYTES)"
    run = subprocess.run([sys.executable, "-c", code], env=environment(name), capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == str(BYTES[name]), run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
def test_all_kernels(name):
    tests = [str(HERE), str(HERE.parent / "convolutions"), f"--ignore={__file__}"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    run = subprocess.run(command, env=environment(name), capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stdout


def environment(name):
    return {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": FEATURES[name]}
