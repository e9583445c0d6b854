"""TensorFlow's border arithmetic for one axis, shared by convolutions and pooling.

'valid' pads nothing; 'same' pads so that the output has ceil(n / stride) places, the odd pixel at the high end.
"""

from typing import overload


@overload
def output_size(n: int, k: int, stride: int, dilation: int, padding: str) -> int: ...
@overload
def output_size(n: None, k: int, stride: int, dilation: int, padding: str) -> None: ...
def output_size(n: int | None, k: int, stride: int, dilation: int, padding: str) -> int | None:
    """Places of a window of k taps, `dilation` apart, along n pixels; below 1 where the window does not fit; None stays None."""
    if n is None:
        return None
    if padding == "same":
        return -(-n // stride)
    return (n - (k - 1) * dilation - 1) // stride + 1


def borders(n: int | None, k: int, stride: int, dilation: int, padding: str) -> tuple[int, int] | None:
    """(low, high) pixels that are added before and behind the n pixels; None stays None."""
    if n is None:
        return None
    if padding != "same":
        return 0, 0
    total = max((-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0)
    return total // 2, total - total // 2
