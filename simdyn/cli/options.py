"""Options that several commands share, and one line for bad input."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from simdyn.base import interrupts

CHECK_FAILED = 1  # `verify` found damage, a claim fails, or `replay` differs
BAD_INPUT = 2
LEFT = 3  # points failed, or blocks were left undone

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for results/ and figures/.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="Cores to use; all if not given.")
]
Smoke = Annotated[
    bool, typer.Option("--smoke", help="The study's small variant; results are named NAME-smoke.")
]
StoreFile = Annotated[
    Path,
    typer.Argument(metavar="STUDY|STORE", help="Study file, NAME.toml, or its store, NAME.zarr."),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Run on a Dask cluster: a scheduler's address, or local:N.",
    ),
]
Slurm = Annotated[bool, typer.Option("--slurm", help="On Slurm jobs, by dask-jobqueue.")]
Pbs = Annotated[bool, typer.Option("--pbs", help="On PBS jobs, by dask-jobqueue.")]
JobCount = Annotated[int, typer.Option("--jobs", metavar="N", help="Number of jobs.")]
Cores = Annotated[int, typer.Option("--cores", metavar="N", help="Cores of a job.")]
Memory = Annotated[str, typer.Option("--memory", metavar="SIZE", help="Memory of a job.")]
Walltime = Annotated[str, typer.Option("--walltime", metavar="HH:MM:SS", help="Time of a job.")]
Queue = Annotated[
    str | None, typer.Option("--queue", metavar="NAME", help="Queue or partition of the jobs.")
]
Account = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Account the jobs are charged to.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Compute failed points again.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


JOB_OPTIONS = ("cores", "memory", "walltime", "queue", "account")


def check_needs(ctx: typer.Context, options: Iterable[str], needed: str, there: bool) -> None:
    """Refuse options that the command line gives without another one that they need."""
    from simdyn.base.inputs import InputError

    for name in options:
        source = ctx.get_parameter_source(name)
        if not there and source is not None and source.name == "COMMANDLINE":
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} {ctx.params[name]}: allowed with {needed}")


@contextmanager
def guard() -> Iterator[None]:
    """Bad input ends with a line for each mistake and exit code 2.

    Blocks left undone end with exit code 3, Ctrl-C with 130.
    """
    from simdyn.base.inputs import InputError, LeftUndone

    try:
        yield
    except InputError as problem:
        for mistake in str(problem).splitlines():
            typer.echo(f"simdyn: {mistake}", err=True)
        raise typer.Exit(LEFT if isinstance(problem, LeftUndone) else BAD_INPUT) from None
    except MemoryError:
        typer.echo("simdyn: this needs more than this machine's memory holds", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except OSError as problem:  # a name that no file can have, a full disk
        if problem.errno == errno.EPIPE:  # nobody reads the output any more; Typer handles it
            raise
        file = "" if problem.filename is None else f"{problem.filename}: "
        line = InputError(f"{file}{problem.strerror or problem}")
        typer.echo(f"simdyn: {line}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt:
        interrupts.ignore()
        typer.echo(interrupts.MESSAGE, err=True)
        raise typer.Exit(interrupts.INTERRUPTED) from None
