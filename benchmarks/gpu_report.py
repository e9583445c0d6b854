"""What benchmarks/gpu.py found, in lines and a table."""

from rich.console import Console
from rich.table import Table

GOALS = {"float32": 0.7, "tf32": 0.5, "bf16": 0.5}  # of cuDNN's speed
console = Console()


def show(result: dict) -> None:
    if layers := result.get("layers"):
        console.print(f"{len(layers['largest error'])} layers agree with the CPU, {len(layers['wrong'])} do not")
        for name, why in layers["wrong"].items():
            console.print(f"{name}: {why}", style="red", markup=False)
    if losses := result.get("resnet18"):
        console.print(f"ResNet-18's losses differ by {losses['largest relative difference']:.1e} at most")
    for name, why in result["failed"].items():
        console.print(f"{name} failed: {why}", style="red", markup=False)
    for name in ("training", "latency", "launch", "overlap"):
        if name in result:
            console.print(name, result[name])
    if not result.get("convolutions"):
        return
    table = Table("precision", "batch, size, in, out, kernel, stride", "direction", "ms", "TFLOP/s", "cuDNN ms", "ratio", "goal")
    for row in result["convolutions"]:
        their = (f"{row['cudnn'] * 1e3:.3f}", f"{row['ratio']:.2f}") if "ratio" in row else ("–", "–")
        cells = (row["precision"], str(row["shape"]), row["kind"], f"{row['seconds'] * 1e3:.3f}", f"{row['teraflops']:.1f}", *their)
        table.add_row(*cells, str(GOALS[row["precision"]]), style="red" if row.get("ratio", 9) < GOALS[row["precision"]] else "")
    console.print(table)
