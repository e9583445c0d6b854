"""When launches of a 1x1, a depthwise and a 1x1 convolution become one (kernels/inverted_residual.py)."""

from collections.abc import Callable
from typing import Any

from ..kernels.depthwise import depthwise
from ..kernels.gemm_multiply import multiply
from ..kernels.inverted_residual import band_rows, inverted_residual, reach

WORTH = 16 << 20  # bytes of the images between: smaller ones stay in a cache anyway


def middle(launch: Any) -> bool:
    """Whether a launch can be the one in the middle."""
    return launch.kernel is depthwise and not launch.args[3].size and not launch.out[1].size


def joined(before: Any | None, launch: Any, after: Any, workspace: Callable[..., Any]) -> tuple[Any, tuple, tuple] | None:
    """(kernel, arguments, outputs) of the launch that does all their work, None where there is none or it does not pay.

    before makes what `launch` alone reads, or is None; after alone reads what `launch` makes.
    """
    if after.kernel is not multiply or after.out[1].size:
        return None
    wide, filters, shift, _, lo, hi, window, rows, columns, _ = launch.args
    narrow = launch.out[0]
    band = band_rows(wide.shape, narrow.shape, window[0], rows, narrow.dtype)
    fresh, shared = band * rows[0], (window[0] - 1) * rows[3]  # rows that a band makes, and that it takes over from the one before
    expands = before is not None and before.kernel is multiply and not before.args[3].size and not before.out[1].size
    expands = expands and (fresh >= shared or band == narrow.shape[1])
    if (wide.nbytes if expands else 0) + narrow.nbytes < WORTH:
        return None
    x, packed, bias, low, high = wide, wide.part(0, (0,)), shift, lo, hi
    if expands:
        x, packed, bias, _, low, high = before.args
        x = x.reshape(*wide.shape[:3], -1)
    scratch = workspace(reach(rows, window[0], band) if expands else 0, *wide.shape[2:]), workspace(band, *narrow.shape[2:])
    _, project, offset, residual, least, most = after.args
    y = after.out[0].reshape(*narrow.shape[:3], -1)
    facts = (x, packed, bias, low, high, filters, shift, lo, hi, window, rows, columns, *scratch, project, offset, residual, least, most)
    return inverted_residual, facts, (y,)
