"""Adam with weight decay."""

from dataclasses import dataclass

from .adam import Adam


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weights decay apart from the gradient, by learning_rate * weight_decay a step (Loshchilov and Hutter, 2019)."""

    weight_decay: float | None = 0.004
