"""PyTorch's state dicts: files read without PyTorch (read.py), and their names and layouts turned into ours (names.py)."""

from .names import Match, match, to_weights
from .read import is_torch, read_state_dict

__all__ = ["Match", "is_torch", "match", "read_state_dict", "to_weights"]
