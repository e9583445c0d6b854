"""Runs in a Python that has Keras: python keras_worker.py jobs.json. Each job: what to open, what to compute on, what to write.

model    a whole model;  weights: a file that its weights are then taken from
inputs   .npz with one array for each input, in order;  outputs: .npz that is written
again    files that Keras writes the model to; weights_again: and its weights
"""

import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


def main(jobs: str) -> None:
    try:
        import tensorflow

        keras = tensorflow.keras
    except ImportError:
        import keras
    with open(jobs) as file:
        work = json.load(file)
    for job in work:
        model = keras.models.load_model(job["model"], compile=False)
        if job.get("weights"):
            model.load_weights(job["weights"])
        given = np.load(job["inputs"])
        outputs = model.predict([given[name] for name in sorted(given)] if len(given) > 1 else given[min(given)], verbose=0)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        np.savez(job["outputs"], **{f"y{i}": y for i, y in enumerate(outputs)})
        for path in job.get("again", ()):
            model.save(path)
        for path in job.get("weights_again", ()):
            model.save_weights(path)


if __name__ == "__main__":
    main(sys.argv[1])
