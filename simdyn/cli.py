"""The command line: parse, call, print."""

import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import xarray as xr

    from simdyn.store import Store
    from simdyn.study import Study

DONE = 1
BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""How a two-layer convolutional ReLU network, trained by SGD or SAM, comes to learn the
signal or to memorise the noise: simulated exactly, at a cost that does not depend on the dimension.

[bold]Start here[/bold]

  simdyn run studies/phase_diagram.toml    simulate every point, keep the results, draw the figure

  simdyn simulate --dimension 5000 --signal-norm 3 --radius 0.03    one setting from flags

Exit code 0: done; 1: `verify` found damage; 2: bad input; 130: interrupted (run the same
command to go on).""",
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file, NAME.toml.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for results/ and figures/.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="Cores to use; all where not given.")
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="The study's small variant; results are named NAME-smoke.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@contextmanager
def _guard() -> Iterator[None]:
    """Bad input ends with one line and exit code 2, an interrupt with 130."""
    from simdyn.inputs import InputError

    try:
        yield
    except InputError as problem:
        typer.echo(f"simdyn: {problem}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt:
        typer.echo("simdyn: interrupted; run the same command to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _load(path: Path, smoke: bool) -> "Study":
    from simdyn.study import load_study

    study = load_study(path)
    return study.smoke() if smoke else study


def _store_path(study: "Study", out: Path) -> Path:
    return out / "results" / f"{study.name}.zarr"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """Progress with rate and time left: a bar on a terminal, plain lines otherwise."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.runs = self.done = self.fresh = 0
        self.compile_seconds = 0.0
        self.began = self.spoke = time.monotonic()

    def start(self, runs: int, done: int) -> None:
        """So many runs in all, so many of them already there."""
        from simdyn.kernels.compiled import kernels_kept

        self.runs, self.done = runs, done
        kept = f", {done:,} already done" if done else ""
        typer.echo(f"{self.name}: {runs:,} runs{kept}", err=True)
        if done < runs and not kernels_kept():
            typer.echo("  compiling the kernels, once for this version (under a minute)", err=True)
        if sys.stderr.isatty() and done < runs:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self.bar = Progress(
                BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task(
                "", total=runs, completed=done, rate="preparing kernels …"
            )

    def ready(self, seconds: float) -> None:
        """The kernels are compiled, or loaded, after so many seconds; runs begin."""
        self.compile_seconds = seconds
        self.began = self.spoke = time.monotonic()

    def rate(self) -> str:
        """Runs a second and time left, from this session's own pace."""
        pace = self.fresh / max(time.monotonic() - self.began, 1e-9)
        left = (self.runs - self.done) / pace if pace > 0 else 0.0
        return f"{pace:,.0f} runs/s, {_clock(left)} left"

    def advance(self, runs: int) -> None:
        """So many runs more."""
        self.done += runs
        self.fresh += runs
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, rate=self.rate())
        elif now - self.spoke >= 5.0 or self.done == self.runs:
            self.spoke = now
            share = self.done / self.runs
            typer.echo(f"  {self.done:,}/{self.runs:,} ({share:.0%}), {self.rate()}", err=True)

    def failed(self, place: str, cause: str) -> None:
        """A point failed; the study goes on."""
        typer.echo(f"  {place} failed: {cause}", err=True)

    def close(self) -> None:
        """Leave the terminal clean."""
        if self.bar is not None:
            self.bar.stop()


def _draw(study: "Study", results: "xr.Dataset", out: Path) -> list[Path]:
    """The study's figure as PNG and PDF; nothing where it declares none."""
    if study.figure is None:
        return []
    from simdyn.inputs import InputError
    from simdyn.plot import draw, save

    folder = out / "figures"
    try:
        return list(save(draw(results, study.figure), folder / study.name))
    except OSError as problem:
        raise InputError(f"{folder}: cannot be written: {problem.strerror}") from None


def _check_folders(study: "Study", out: Path) -> None:
    """Where results and figures go must be folders, or free, before anything runs."""
    from simdyn.inputs import InputError

    for folder in (out / "results", out / "figures")[: 2 if study.figure else 1]:
        there = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise InputError(f"{folder}: cannot be written: {there} is no folder one may write to")


def _raise_interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@app.command()
def run(
    study_file: StudyFile,
    out: Out = Path(),
    smoke: Smoke = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Simulate every point of a study, keep the results, and draw its figure.

    Writes results/NAME.zarr and figures/NAME.png and .pdf. What the store already holds is kept:
    after Ctrl-C or a crash the same command goes on where it stood, to the same values.
    """
    with _guard():
        study = _load(study_file, smoke)
        _check_folders(study, out)
        from simdyn.run import run_study

        signal.signal(signal.SIGTERM, _raise_interrupt)
        path, display = _store_path(study, out), Display(study.name)
        began = time.monotonic()
        try:
            results = run_study(study, path, threads=threads, progress=display)
        finally:
            display.close()
        figures = _draw(study, results, out)
        seconds = time.monotonic() - began
        if as_json:
            report = {"store": str(path), "figures": list(map(str, figures)), "runs": study.runs,
                      "computed": display.fresh, "seconds": round(seconds, 3),
                      "compile_seconds": round(display.compile_seconds, 3)}  # fmt: skip
            typer.echo(json.dumps(report))
            return
        for made in (path, *figures):
            typer.echo(made)
        if not figures:
            typer.echo(f"no figure: {study_file} has no [figure] table", err=True)


@app.command()
def plan(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Say what a study would do: points, runs, blocks, core-hours, bytes. Runs nothing."""
    with _guard():
        study = _load(study_file, smoke)
        path = _store_path(study, out)
        done, blocks = 0, len(study.blocks)
        if path.exists():
            done, blocks = _done_blocks(study, path)
        report: dict[str, Any] = {
            "study": study.name, "fingerprint": study.fingerprint, "points": study.space.size,
            "axes": dict(zip(study.space.axes, study.space.shape, strict=True)),
            "methods": list(study.space.methods), "replicates": study.replicates,
            "runs": study.runs, "blocks": blocks, "blocks_done": done,
            "core_hours": study.cost / 3600, "bytes": study.bytes, "store": str(path),
        }  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report))
            return
        axes = " × ".join(f"{n} {name}" for name, n in report["axes"].items()) or "one point"
        typer.echo(f"{study.name} ({study.fingerprint[:12]})")
        typer.echo(f"  {study.space.size:,} points: {axes}")
        typer.echo(f"  {study.runs:,} runs: × {len(study.space.methods)} methods × "
                   f"{study.replicates} replicates")  # fmt: skip
        typer.echo(f"  {blocks:,} blocks, {done:,} done")
        typer.echo(f"  about {study.cost / 3600:.2g} core-hours ({_clock(study.cost)} on one core)")
        typer.echo(f"  {study.bytes / 1e6:.3g} MB of values, in {path}")


def _open_store(study: "Study", path: Path) -> "Store":
    from simdyn.store import Store, open_group

    open_group(path)
    return Store(path, study)


def _done_blocks(study: "Study", path: Path) -> tuple[int, int]:
    """Blocks with a receipt, and blocks in all."""
    store = _open_store(study, path)
    return sum(store.has_receipt(block) for block in store.blocks), len(store.blocks)


@app.command()
def status(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Say how far a study is, and how its runs ended."""
    with _guard():
        from simdyn.schema import STATUS
        from simdyn.store import open_results

        study = _load(study_file, smoke)
        path = _store_path(study, out)
        done, blocks = _done_blocks(study, path)
        values = open_results(path)["status"].values
        counts = {code: int((values == code).sum()) for code in STATUS}
        report = {"study": study.name, "store": str(path), "blocks": blocks, "blocks_done": done,
                  "runs": {STATUS[c].split(":")[0]: k for c, k in counts.items()}}  # fmt: skip
        if as_json:
            typer.echo(json.dumps(report))
            return
        typer.echo(f"{study.name}: {done:,} of {blocks:,} blocks done, in {path}")
        for code, count in counts.items():
            if count:
                typer.echo(f"  {count:,} runs {STATUS[code]}")


@app.command()
def verify(
    study_file: StudyFile, out: Out = Path(), smoke: Smoke = False, as_json: Json = False
) -> None:
    """Read every block again and hold it against its receipt; exit code 1 where one is damaged."""
    with _guard():
        study = _load(study_file, smoke)
        path = _store_path(study, out)
        store = _open_store(study, path)
        missing: list[int] = []
        damaged: list[int] = []
        for block in store.blocks:
            if not store.is_done(block):
                (damaged if store.has_receipt(block) else missing).append(block.number)
        blocks = len(store.blocks)
        report = {"store": str(path), "blocks": blocks, "missing": missing, "damaged": damaged}
        good = blocks - len(missing) - len(damaged)
        if as_json:
            typer.echo(json.dumps(report))
        else:
            typer.echo(f"{path}: {good:,} blocks good, {len(missing):,} missing, "
                       f"{len(damaged):,} damaged {damaged or ''}".rstrip())  # fmt: skip
        if damaged:
            typer.echo("simdyn: `simdyn run` computes damaged blocks again", err=True)
            raise typer.Exit(1)


@app.command()
def plot(study_file: StudyFile, out: Out = Path(), smoke: Smoke = False) -> None:
    """Draw a study's figure again from its results. Simulates nothing."""
    with _guard():
        from simdyn.inputs import InputError
        from simdyn.store import open_results

        study = _load(study_file, smoke)
        if study.figure is None:
            raise InputError(
                f'{study_file}: declares no [figure]; [figure] with x = "…" and y = "…", two swept '
                "fields, makes one"
            )
        _check_folders(study, out)
        path = _store_path(study, out)
        _open_store(study, path)
        for made in _draw(study, open_results(path), out):
            typer.echo(made)


@app.command()
def simulate(
    dimension: Annotated[int, typer.Option(help="Dimension d of a patch.")],
    signal_norm: Annotated[float, typer.Option(help="Signal norm ‖μ‖.")],
    radius: Annotated[float, typer.Option(help="SAM's radius τ; 0 is SGD.")] = 0.0,
    learning_rate: Annotated[float, typer.Option(help="Learning rate η.")] = 0.1,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 100,
    batch_size: Annotated[int | None, typer.Option(help="Batch size B; full where absent.")] = None,
    n_samples: Annotated[int, typer.Option(help="Training samples n.")] = 20,
    n_patches: Annotated[int, typer.Option(help="Patches P.")] = 2,
    noise_std: Annotated[float, typer.Option(help="Noise standard deviation σ_p.")] = 1.0,
    label_flip: Annotated[float, typer.Option(help="Label flip probability p.")] = 0.0,
    noise: Annotated[Any, typer.Option(help="isotropic or orthogonal.", parser=str)] = "isotropic",
    n_filters: Annotated[int, typer.Option(help="Filters m of each sign.")] = 10,
    init_std: Annotated[float, typer.Option(help="Initial standard deviation σ_0.")] = 0.001,
    replicates: Annotated[int, typer.Option(help="Independent draws.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    every: Annotated[int | None, typer.Option(help="Show every so many epochs.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train one setting and print its course: loss, test error, signal and noise learned.

    Values are means over replicates, of signal and noise the largest coefficient each.
    """
    with _guard():
        import simdyn

        data = simdyn.SignalNoiseData(
            n_samples=n_samples, dimension=dimension, signal_norm=signal_norm, noise_std=noise_std,
            n_patches=n_patches, label_flip=label_flip, noise=noise,
        )  # fmt: skip
        net = simdyn.TwoLayerCNN(n_filters=n_filters, init_std=init_std)
        shared: dict[str, Any] = {
            "learning_rate": learning_rate,
            "epochs": epochs,
            "batch_size": batch_size,
        }
        sgd = radius == 0.0
        phase = simdyn.SGD(**shared) if sgd else simdyn.SAM(radius=radius, **shared)
        record = simdyn.Record(every=max(1, epochs // 10) if every is None else every)
        results = simdyn.simulate(
            data, net, phase, seed=seed, replicates=replicates, record=record, threads=threads
        )
        _print_course(results, as_json)


def _print_course(results: "xr.Dataset", as_json: bool) -> None:
    """One line a recorded state, or one JSON object of lists."""
    table = {
        "update": results["update"],
        "train_loss": results["train_loss"].mean("replicate"),
        "test_error": results["test_error"].mean("replicate"),
        "signal_coef": results["signal_coef"].max(("sign", "filter")).mean("replicate"),
        "noise_coef": abs(results["noise_coef"])
        .max(("sign", "filter", "sample"))
        .mean("replicate"),
    }
    columns = {name: values.values.tolist() for name, values in table.items()}
    if as_json:
        ends = {name: results[name].values.tolist() for name in ("status", "status_step")}
        finite = {
            name: [value if math.isfinite(value) else None for value in values]
            for name, values in columns.items()
        }
        typer.echo(json.dumps({**finite, **ends}, allow_nan=False))
        return
    from simdyn.schema import STATUS

    typer.echo("  ".join(f"{name:>11}" for name in columns))
    for row in zip(*columns.values(), strict=True):
        typer.echo("  ".join(f"{value:11.4g}" for value in row))
    for code, text in STATUS.items():
        ended = results["status"].values == code
        if ended.any() and code != DONE:
            steps = sorted(set(results["status_step"].values[ended].tolist()))
            at = f"status_step {steps[0]}" + (f"…{steps[-1]}" if len(steps) > 1 else "")
            typer.echo(f"{int(ended.sum())} of {ended.size} runs {text} ({at})")


def main() -> None:
    """Entry point of the command `simdyn`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without σ shows ?, not a traceback
            stream.reconfigure(errors="replace")
    app()
