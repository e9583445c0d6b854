"""A 1x1 convolution is one matrix product over all pixels."""

from typing import Any

from ..kernels import gemm
from .problem import Convolution, Epilogue


def _refuses(problem: Convolution) -> str | None:
    if problem.kernel_size != (1, 1):
        return f"kernel {problem.kernel_size[0]}x{problem.kernel_size[1]}"
    if problem.strides != (1, 1):
        return f"strides {problem.strides[0]}x{problem.strides[1]}"
    if problem.low != (0, 0) or problem.image[:2] != problem.result[:2]:
        return "borders"
    return f"groups={problem.groups}" if problem.groups > 1 else None


def _matrix(images: Any) -> Any:
    return images.reshape(-1, images.shape[-1])


class Pointwise:
    """Forward pass and gradient by the input."""

    name = "pointwise"
    takes_function = True

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, kernel: Any, epilogue: Epilogue, y: Any) -> Any:
        residual = None if epilogue.residual is None else _matrix(epilogue.residual)
        if not problem.transposed:
            return gemm.forward(step, _matrix(x), _matrix(kernel), epilogue._replace(residual=residual), _matrix(y))
        gemm.data_gradient(step, _matrix(x), _matrix(kernel), _matrix(y), residual)
        return None


class PointwiseWeights:
    """Gradient by the kernel."""

    name = "pointwise"

    def supports(self, problem: Convolution) -> str | None:
        return _refuses(problem)

    def note(self, step: Any, problem: Convolution, x: Any, dy: Any, dkernel: Any, dbias: Any) -> None:
        gemm.weight_gradient(step, _matrix(x), _matrix(dy), _matrix(dkernel), dbias)


PRODUCTS = (Pointwise(),)
WEIGHTS = (PointwiseWeights(),)
