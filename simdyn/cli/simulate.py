"""The command `simulate`: one setting, given by options."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simdyn.cli.options import Json, Threads, check_needs, guard

if TYPE_CHECKING:
    import xarray as xr


def _rate(text: str) -> float | str:
    """A number, or a formula."""
    try:
        return float(text)
    except ValueError:
        return text


def simulate(
    ctx: typer.Context,
    *,
    dimension: Annotated[int, typer.Option(help="Dimension d of a patch.")],
    signal_norm: Annotated[float, typer.Option(help="Signal norm ‖μ‖.")],
    radius: Annotated[float, typer.Option(help="SAM's radius τ; 0 is SGD.")] = 0.0,
    learning_rate: Annotated[
        Any, typer.Option(help="Learning rate η, or a formula: 0.1*cosine().", parser=_rate)
    ] = 0.1,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 100,
    until: Annotated[
        Any, typer.Option(help='End when this holds: "train_loss < 0.01".', parser=str)
    ] = None,
    stepping: Annotated[Any, typer.Option(help="exact, strides or flow.", parser=str)] = "exact",
    stride_tolerance: Annotated[float, typer.Option(help="Tolerance of strides.")] = 1e-3,
    batch_size: Annotated[int | None, typer.Option(help="Batch size B; full if not given.")] = None,
    n_samples: Annotated[int, typer.Option(help="Training samples n.")] = 20,
    n_patches: Annotated[int, typer.Option(help="Patches P.")] = 2,
    noise_std: Annotated[float, typer.Option(help="Noise standard deviation σ_p.")] = 1.0,
    label_flip: Annotated[float, typer.Option(help="Label flip probability p.")] = 0.0,
    noise: Annotated[Any, typer.Option(help="isotropic or orthogonal.", parser=str)] = "isotropic",
    n_filters: Annotated[int, typer.Option(help="Filters m of each sign.")] = 10,
    init_std: Annotated[float, typer.Option(help="Initial standard deviation σ_0.")] = 0.001,
    init: Annotated[Any, typer.Option(help="gaussian or antisymmetric.", parser=str)] = "gaussian",
    replicates: Annotated[int, typer.Option(help="Independent draws.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    every: Annotated[int | None, typer.Option(help="Show every so many epochs.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train one setting and print its trajectory: loss, test error, signal and noise learned.

    Values are means over replicates; for signal and noise, of the largest coefficient.
    """
    with guard():
        strides = "--stepping strides or --stepping flow"
        check_needs(ctx, ["stride_tolerance"], strides, stepping != "exact")
        import simdyn

        data = simdyn.SignalNoiseData(
            n_samples=n_samples,
            dimension=dimension,
            signal_norm=signal_norm,
            noise_std=noise_std,
            n_patches=n_patches,
            label_flip=label_flip,
            noise=noise,
        )
        net = simdyn.TwoLayerCNN(n_filters=n_filters, init_std=init_std, init=init)
        shared: dict[str, Any] = {
            "learning_rate": learning_rate,
            "epochs": epochs,
            "batch_size": batch_size,
            "until": until,
            "stepping": stepping,
            "stride_tolerance": stride_tolerance,
        }
        sgd = radius == 0.0
        phase = simdyn.SGD(**shared) if sgd else simdyn.SAM(radius=radius, **shared)
        record = simdyn.Record(every=max(1, epochs // 10) if every is None else every)
        results = simdyn.simulate(
            data, net, phase, seed=seed, replicates=replicates, record=record, threads=threads
        )
        print_course(results, as_json)
        if until is not None and not as_json:
            met = results["goal_update"].isel(step=-1).dropna("replicate").values.astype(int)
            at = f", at update {met.min()}" if met.size else ""
            at += f" … {met.max()}" if met.size and met.min() < met.max() else ""
            typer.echo(f"{until}: met by {met.size} of {replicates} runs{at}")


def print_course(
    results: "xr.Dataset", as_json: bool, about: Mapping[str, Any] | None = None
) -> None:
    """Print one line for each recorded state, or one JSON object with lists and `about`."""
    table = {"update": results["updates"]}
    for name in ("train_loss", "train_error", "test_error"):
        if name in results and not (name == "train_error" and "signal_coef" in results):
            table[name] = results[name].mean("replicate")
    for name in ("signal_coef", "noise_coef", "coef"):
        if name in results:
            largest = abs(results[name]) if name != "signal_coef" else results[name]
            inner = [dim for dim in largest.dims if dim not in ("replicate", "step")]
            table[name] = largest.max(inner).mean("replicate")
    columns = {name: values.values.tolist() for name, values in table.items()}
    if "recorded" in results.attrs:
        typer.echo(results.attrs["recorded"].replace("Record(every=1)", "--every 1"), err=True)
    if as_json:
        ends = {name: results[name].values.tolist() for name in ("status", "status_step")}
        finite = {
            name: [value if math.isfinite(value) else None for value in values]
            for name, values in columns.items()
        }
        typer.echo(json.dumps({**finite, **ends, **(about or {})}, allow_nan=False))
        return
    from simdyn.kernels.codes import DONE
    from simdyn.variables.registry import STATUS

    typer.echo("  ".join(f"{name:>11}" for name in columns))
    for row in zip(*columns.values(), strict=True):
        typer.echo("  ".join(f"{value:11.4g}" for value in row))
    for code, text in STATUS.items():
        ended = results["status"].values == code
        if ended.any() and code != DONE:
            steps = sorted(set(results["status_step"].values[ended].tolist()))
            at = f"status_step {steps[0]}" + (f"…{steps[-1]}" if len(steps) > 1 else "")
            typer.echo(f"{int(ended.sum())} of {ended.size} runs {text} ({at})")
