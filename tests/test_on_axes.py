"""Panels of every kind of figure on axes of one's own."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import simdyn
from simdyn import SAM, SGD, Crossing, InputError, Study, plot
from simdyn.params import Collapse, CriticalLines, Curves, PhaseDiagram, Picture, Trajectories

METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=20)],
    "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=20)],
}
DATA = {"n_samples": 5, "signal_norm": 2.0, "dimension": 100}
DIMENSIONS = [100, 400, 1600]
MAP = {"dimension": DIMENSIONS, "signal_norm": [1.0, 2.0, 4.0, 8.0]}
SOLVE = Crossing(field="signal_norm", between=(0.1, 1000.0), variable="test_error", level=0.2)

FIGURES: dict[str, tuple[Picture, dict, Crossing | None, list[str]]] = {
    "phase_diagram": (PhaseDiagram(), MAP, None, ["sgd", "sam", "sgd − sam"]),
    "curves": (
        Curves(x="dimension", variables=("test_error", "train_loss")),
        {"dimension": DIMENSIONS},
        None,
        ["test_error", "train_loss"],
    ),
    "trajectories": (
        Trajectories(panels=("growth", "losses")),
        {},
        None,
        ["growth of sgd", "growth of sam", "losses"],
    ),
    "critical_lines": (CriticalLines(), {"dimension": DIMENSIONS}, SOLVE, ["dimension"]),
    "collapse": (Collapse(compare=("sgd",)), MAP, None, ["sgd, original", "sgd, rescaled"]),
}


@pytest.fixture(scope="module")
def results() -> dict[str, xr.Dataset]:
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.01)
    return {
        kind: Study(DATA, net, METHODS, space, replicates=3, solve=solve, figure=figure).run()
        for kind, (figure, space, solve, _) in FIGURES.items()
    }


@pytest.mark.parametrize("kind", FIGURES)
def test_draw_on__shows_what_the_figure_shows(kind: str, results: dict[str, xr.Dataset]) -> None:
    figure, _, _, panels = FIGURES[kind]
    whole = plot.draw(results[kind], figure)
    own = Figure(figsize=(10, 3), layout="constrained")
    axes = own.subplots(1, len(panels), squeeze=False)
    made = plot.draw_on(axes, results[kind], figure)
    assert made.caption == whole.caption
    assert [entry.get_label() for entry in made.handles] == [
        text.get_text() for legend in whole.legends for text in legend.get_texts()
    ]
    assert len(made.coloured) == (len(panels) if kind == "phase_diagram" else 0)
    for ax, other in zip(axes.ravel(), whole.axes, strict=False):
        lines, others = ax.get_lines(), other.get_lines()
        assert len(lines) == len(others)
        for line, same in zip(lines, others, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())
        assert len(ax.collections) == len(other.collections)
        assert (ax.get_xscale(), ax.get_yscale()) == (other.get_xscale(), other.get_yscale())
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert not any(ax.get_title(place).startswith("(") for place in ("left", "center"))
    # Whatever is drawn can be written.
    own.legend(handles=made.handles, loc="outside lower center")
    for mesh in made.coloured:
        own.colorbar(mesh, ax=axes)
    own.draw_without_rendering()


def test_draw_on__letters_of_the_figure_or_of_the_reader(results: dict[str, xr.Dataset]) -> None:
    figure = FIGURES["curves"][0].replace(font_size=14, font="serif")
    with plt.rc_context({"axes.labelsize": 21, "xtick.labelsize": 5}):
        _, axes = plt.subplots(1, 2)
        plot.draw_on(axes, results["curves"], figure, style="reader")
        assert [ax.xaxis.label.get_size() for ax in axes] == [21, 21]
        assert axes[0].get_xticklabels()[0].get_size() == 5
        plot.draw_on(axes, results["curves"], figure)
        assert [ax.xaxis.label.get_size() for ax in axes] == [15, 15]
        assert axes[0].get_xticklabels()[0].get_size() == 14
        assert axes[0].yaxis.label.get_family() == ["serif"]
        plt.close("all")


def test_draw_on__solved_lines_and_values_of_further_axes(results: dict[str, xr.Dataset]) -> None:
    ds = results["phase_diagram"]
    axes = Figure().subplots(1, 3)
    made = plot.draw_on(axes, ds, PhaseDiagram(), lines=results["critical_lines"])
    assert any("solved" in str(entry.get_label()) for entry in made.handles)
    one = Figure().subplots()
    figure = Curves(x="dimension", at={"signal_norm": 4.0}, labels={"sam": "SAM, here"})
    made = plot.draw_on(one, ds, figure)
    assert [entry.get_label() for entry in made.handles] == ["SGD", "SAM, here"]


def test_critical_lines__without_a_power_or_a_crossing() -> None:
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.01)
    flips = {"label_flip": [0.0, 0.02, 0.05]}
    lines = Study(DATA, net, METHODS, flips, replicates=3, solve=SOLVE).run()
    figure = CriticalLines(x=("label_flip",))
    with pytest.raises(InputError, match="label_flip has the value 0"):
        plot.draw(lines, figure)
    for scale in ("linear", "symlog"):
        made = plot.draw(lines, figure.replace(x_scale=scale))
        assert "Fitted powers" not in made.caption
        assert made.axes[0].get_xscale() == scale
    far = Crossing(field="signal_norm", between=(1e-3, 2e-3), replicates=3)
    never = Study(DATA, net, METHODS, {"dimension": [100, 400]}, replicates=3, solve=far).run()
    for scale in ("log", "linear", "symlog"):
        made = plot.draw(never, CriticalLines(y_scale=scale))
        made.draw_without_rendering()
        assert "points: " in made.caption


def test_draw_on__bad_input(results: dict[str, xr.Dataset]) -> None:
    ds, figure = results["curves"], FIGURES["curves"][0]
    axes = Figure().subplots(1, 3)
    for given, style, words in [
        (axes, "figure", "axes: 3 given; this figure has 2 panel(s): test_error, train_loss"),
        (axes[0], "figure", "axes: 1 given; this figure has 2 panel(s): test_error, train_loss"),
        (3, "figure", "axes = 3: allowed are plain axes of matplotlib, one for a panel"),
        (
            [axes[0]] * 2,
            "figure",
            "axes: the same axes are given twice; allowed are some for each panel",
        ),
        (axes[:2], "mine", "style = 'mine': allowed are 'figure' and 'reader'"),
    ]:
        with pytest.raises(InputError) as refused:
            plot.draw_on(given, ds, figure, style=style)  # type: ignore[arg-type]
        assert str(refused.value) == words
    assert not any(ax.get_lines() for ax in axes)
    for results_given, figure_given, words in [
        (ds, "curves", "figure = 'curves': allowed is a Picture(…)"),
        ("x.zarr", figure, "ds = 'x.zarr': allowed are results, an xarray.Dataset"),
    ]:
        for draw in (plot.draw, lambda ds, figure: plot.draw_on(axes, ds, figure)):
            with pytest.raises(InputError) as refused:
                draw(results_given, figure_given)
            assert str(refused.value) == words
