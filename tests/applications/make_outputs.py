"""Makes outputs.json: what live Keras makes of two small pictures, for the networks of the plain suite. Run it with an environment's Python
that has Keras and JAX: KERAS_BACKEND=jax python tests/applications/make_outputs.py
"""

import json
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import keras_side  # noqa: E402

SEED, PICTURES, CLASSES = 11, 2, 10
NETWORKS = {  # height and width, odd ones where borders depend on it; what the last layer is multiplied by, so that the softmax is no step
    "VGG16": (33, 0.0405),
    "ResNet50": (33, 1.74e-05),
    "ResNet50V2": (45, 0.00249),
    "MobileNet": (45, 6.32),
    "MobileNetV2": (45, 0.749),
    "MobileNetV3Small": (45, 4.37),
    "DenseNet121": (33, 1.17),
    "EfficientNetB0": (45, 7.62),
    "EfficientNetV2B0": (45, 2.38),
    "InceptionV3": (75, 2.41),
    "InceptionResNetV2": (75, 0.303),
    "Xception": (71, 1e-06),
    "NASNetMobile": (45, 0.000499),
    "ConvNeXtTiny": (33, 1.1),
}


def main() -> None:
    """Ask Keras, and write the file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, factor) in NETWORKS.items():
            options = {"input_shape": [size, size, 3], "classes": CLASSES}
            rule = {"size": [size, size], "pictures": PICTURES, "seed": SEED, "factor": factor}
            job = {"name": name, "options": options, "folder": f"{folder}/{name}", "files": [], **rule}
            keras_side.answer(job)
            answer = np.load(f"{folder}/{name}/answer.npz")
            names = json.loads((Path(folder) / name / "names.json").read_text())["layers"]
            output = [[float(f"{value:.8g}") for value in row] for row in answer["output"]]
            found[name] = {"size": size, "factor": factor, "output": output, "names": zlib.crc32("\n".join(names).encode())}
            print(name, found[name], flush=True)
    made = {"keras": keras_side.keras.__version__, "seed": SEED, "classes": CLASSES, "networks": found}
    (HERE / "outputs.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
