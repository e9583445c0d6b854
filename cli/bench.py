"""`numbacnn bench`: how fast a model trains and predicts on this machine, where the time goes, which algorithms are the fastest."""

import json
import time
from typing import Any

import click

from .architecture import model_argument, open_model

SHOWN = 40  # parts of a step that --profile shows, the slowest first


@click.command(short_help="Measure how fast a model trains and predicts here.")
@model_argument
@click.option("--batch-size", type=click.IntRange(min=1), default=16, help="Images in a step.")
@click.option("--steps", type=click.IntRange(min=1), default=5, help="Steps that are timed; the fastest and the median count.")
@click.option("--threads", type=click.IntRange(min=1), show_default="all cores", help="CPU threads.")
@click.option("--profile", is_flag=True, help="Also show where the time goes, layer by layer.")
@click.option("--tune", is_flag=True, help="First measure every algorithm for every convolution, and keep the fastest for all later runs on this machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.pass_context
def bench(ctx: click.Context, batch_size: int, steps: int, threads: int | None, profile: bool, tune: bool, as_json: bool, **chosen: Any) -> None:
    """Time training steps and predictions of MODEL_OR_NAME, a model file, RUN folder or registered architecture, on random images."""
    from numbacnn.train.profile import machine_peak, parts, profile_table

    from .tables import wide_console

    console = wide_console()
    model = open_model(ctx, **chosen)
    trial = Trial(model, batch_size, threads)
    result: dict[str, Any] = {"parameters": model.count_params(), "batch_size": batch_size, "threads": trial.network.backend.threads}
    if tune:
        result["tuned"] = trial.tune()
        if not as_json:
            _tell_tuned(result["tuned"], console)
    result["peak_gflops"] = machine_peak(trial.network.backend) / 1e9
    for name, call, images in trial.calls():
        call()
        times = [_timed(call) for _ in range(steps)]
        low, middle = min(times), sorted(times)[len(times) // 2]
        result[name] = {"seconds": low, "median_seconds": middle, "images_per_second": images / low}
        if not as_json:
            console.print(f"{name.replace('_', ' ')}: {1e3 * low:.1f} ms (median {1e3 * middle:.1f}), {images / low:.1f} images/s")
    if not as_json:
        console.print(f"peak of this machine, {result['threads']} thread{'s' * (result['threads'] > 1)}: {result['peak_gflops']:.0f} GFLOP/s")
    if profile:
        made = parts(trial.training_plan(), steps)
        result["profile"] = [_record(p) for p in made]
        if not as_json:
            slowest = sorted(made, key=lambda p: -p.seconds)[:SHOWN]
            console.print(profile_table(slowest, 1e9 * result["peak_gflops"], f"A training step of {batch_size} images, {len(slowest)} of {len(made)} parts"))
            console.print(_by_kernel(made))
    if as_json:
        click.echo(json.dumps(result))


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Trial:
    """A model on random images: what is timed."""

    def __init__(self, model: Any, batch_size: int, threads: int | None):
        import numpy as np

        if model._session is None:
            model.compile(optimizer="SGD", loss="cross_entropy" if len(model.output_shape) == 2 else "mse", threads=threads)
        else:
            model.network.use("cpu", threads)
        self.model, self.session, self.network = model, model.session, model.network
        random = np.random.default_rng(0)
        shapes = [tuple(n or 224 for n in model.graph[name].layer.shape) for name in model.graph.inputs]
        sizes = model.graph.shapes(dict(zip(model.graph.inputs, shapes, strict=True)))
        self.xs = [random.standard_normal((batch_size, *s), dtype=np.float32) for s in shapes]
        self.ys = [self._target(random, (batch_size, *sizes[name]), loss) for name, loss in zip(model.graph.outputs, self.session.losses, strict=True)]

    @staticmethod
    def _target(random: Any, shape: tuple, loss: Any) -> Any:
        import numpy as np

        if loss is not None and loss.link == "softmax":
            return random.integers(0, shape[-1], shape[:-1])
        return random.integers(0, 2, shape).astype(np.float32)

    def train(self) -> None:
        """One training step, with everything that fit does for it but reading images."""
        from numbacnn.train.goals import Totals

        self.session.factor = 0.0  # the weights stay as they are
        self.session.train((self.xs if len(self.xs) > 1 else self.xs[0], self.ys if len(self.ys) > 1 else self.ys[0]), Totals())

    def calls(self) -> list[tuple[str, Any, int]]:
        """(name, what to time, images) of each measurement."""
        count = len(self.xs[0])
        one = [x[:1] for x in self.xs]
        made = [("training_step", self.train, count), ("prediction", lambda: self.network.predict(self.xs, count), count)]
        return made + ([("prediction_of_one_image", lambda: self.network.predict(one, 1), 1)] if count > 1 else [])

    def training_plan(self) -> Any:
        """The plan of a step that has run."""
        self.train()
        return self.session.plan(self.xs)

    def tune(self) -> dict[str, dict[str, float]]:
        """Measure all algorithms in a training step and in predictions, and keep the fastest; {problem: {algorithm: seconds}}."""
        from numbacnn.plan import choices, measure

        seconds: dict[str, dict[str, float]] = {}
        for xs, options in ((self.xs, {"training": True}), (self.xs, {}), ([x[:1] for x in self.xs], {})):

            def make(preferred: dict[str, str], xs: Any = xs, options: dict = options) -> Any:
                plan = self.network.make([x.shape for x in xs], preferred, joining=False, **options)
                plan.run(xs, shares=[plan_seed.real() for plan_seed in plan.trace.seeds] if options else ())
                return plan

            for key, times in measure.tune(make).items():
                seconds[key] = {name: min(t, seconds.get(key, {}).get(name, t)) for name, t in times.items()}
        choices.keep(measure.fastest(seconds))
        self.network.choices, self.network.suggestions = {}, {}
        self.network.forget()
        return seconds


def _tell_tuned(seconds: dict[str, dict[str, float]], console: Any) -> None:
    from rich.table import Table

    from numbacnn.plan import choices

    table = Table("problem", "fastest", "ms", "others (ms)")
    for key, times in seconds.items():
        first, *rest = sorted(times, key=times.__getitem__)
        table.add_row(key, first, f"{1e3 * times[first]:.3f}", ", ".join(f"{n} {1e3 * times[n]:.3f}" for n in rest))
    console.print(table)
    console.print(f"the fastest of {len(seconds)} problems are kept in {choices.tuned_file()}")


def _record(part: Any) -> dict[str, Any]:
    algorithm = part.choice.name if part.choice else None
    return {
        "layer": part.node,
        "what": part.what,
        "kernels": part.kernels,
        "seconds": part.seconds,
        "operations": part.operations,
        "bytes": part.nbytes,
        "algorithm": algorithm,
    }


def _by_kernel(made: list) -> Any:
    """Sums over the parts by what their kernels are."""
    from rich.table import Table

    table = Table("kernels", "parts", "ms", "share")
    totals: dict[str, list[float]] = {}
    for part in made:
        totals.setdefault(" ".join(part.kernels), []).append(part.seconds)
    whole = sum(map(sum, totals.values()))
    for kernels, times in sorted(totals.items(), key=lambda item: -sum(item[1])):
        table.add_row(kernels, str(len(times)), f"{1e3 * sum(times):.1f}", f"{sum(times) / whole:.1%}")
    return table
