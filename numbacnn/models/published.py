"""Published weights as files of ours: converted when they are first asked for, and kept in the user's cache folder."""

import contextlib
import warnings
from pathlib import Path

from ..cache import cache_folder
from ..data.preprocess import Preprocess
from ..errors import FileError
from ..graph import Graph
from ..store import native
from .architecture import Published

VERSION = 1  # of the conversion: files of another one are not looked at


def published(name: str, source: Published, graph: Graph, preprocess: Preprocess | None) -> native.ModelFile:
    """The network `graph` with the weights of `source`, which `graph` must fit.

    Whatever is kept under the right name is taken if it can be read and is of this very graph, else it is made anew and replaced as a whole.
    Raises what source.source() raises; a cache folder that cannot be written is a warning.
    """
    kept = cache_folder() / "pretrained" / f"{name}-{source.key}-{VERSION}.h5"
    if (found := _kept(kept, graph)) is not None:
        return found
    weights = source.read(source.source(), graph)
    made = native.ModelFile(
        graph=graph,
        weights=weights,
        preprocess=preprocess.to_json() if preprocess else None,
        classes=source.classes,
        task="single_label",
        extra={"name": name},
    )
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        native.write(kept, made)
    except (OSError, FileError) as error:
        warnings.warn(f"the converted weights of {name} cannot be kept ({error}): set NUMBACNN_CACHE to a folder of yours", stacklevel=2)
    return made


def _kept(path: Path, graph: Graph) -> native.ModelFile | None:
    with contextlib.suppress(FileError):  # not there yet, or damaged
        found = native.read(path)
        return found if found.graph == graph else None
    return None
