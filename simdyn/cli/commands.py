"""All commands, and the general help text."""

from typing import Annotated, Any

import typer

from simdyn.cli.check import check
from simdyn.cli.explore import explore
from simdyn.cli.plan import plan
from simdyn.cli.report import report
from simdyn.cli.show import show
from simdyn.cli.simulate import simulate
from simdyn.cli.stores import export, replay, status, verify
from simdyn.cli.studies import plot, run, worker
from simdyn.cli.usage import OneLine

app = typer.Typer(
    cls=OneLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""How a two-layer convolutional ReLU network, trained by SGD or SAM, comes to learn the
signal or to memorise the noise: simulated exactly, at a cost that does not depend on the dimension.

[bold]Start here[/bold]

  simdyn run studies/phase_diagram.toml    simulate every point, keep the results, draw the figure

  simdyn check --quick                     the paper's predictions measured, with verdicts

  simdyn simulate --dimension 5000 --signal-norm 3 --radius 0.03    one setting from flags

  simdyn explore    a live page: move a slider, and SGD and SAM are trained again

Exit code 0: done; 1: `verify` found damage, or a claim fails; 2: bad input;
3: some points failed, or some blocks were left undone; 130: interrupted
(run the same command to go on).""",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from simdyn.base.version import VERSION  # with the commit, between releases

        typer.echo(f"simdyn {VERSION}")
        raise typer.Exit


@app.callback()
def simdyn(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that stand before a command."""


COMMANDS = (
    run,
    plan,
    status,
    show,
    verify,
    plot,
    report,
    replay,
    export,
    worker,
    check,
    simulate,
    explore,
)
for command in COMMANDS:
    app.command()(command)


def by_name() -> dict[str, Any]:
    """The commands by name, as Click has them, for documentation."""
    return dict(typer.main.get_group(app).commands)
