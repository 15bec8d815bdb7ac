"""How figures look: widths, letters, captions as text, files, and values of further axes."""

import itertools
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from commands import call
from common import refusal

import simdyn
from simdyn import SAM, SGD, Record, Study, load_study, plot
from simdyn.params import Curves, PhaseDiagram, Picture, Trajectories
from simdyn.plot import text_files
from simdyn.plot.page import Drawn
from simdyn.study.study_text import as_toml

DATA = {"n_samples": 5, "noise_std": 1.0}
NET = {"n_filters": 2, "init_std": 0.01}
METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=30)],
    "sam": [SAM(radius=0.1, learning_rate=0.1, epochs=30)],
}
SPACE = {
    "dimension": [100, 200, 400],
    "signal_norm": [0.5, 1.0, 2.0, 4.0],
    "n_patches": [2, 3],
    "noise": ["isotropic", "orthogonal"],
}
AT = {"n_patches": 3, "noise": "orthogonal"}


def study(figure: Picture | None = None, **options: Any) -> Study:
    record = Record(variables=("test_error", "train_loss"))
    options = {"space": SPACE, "replicates": 2, "record": record, **options}
    return Study(DATA, NET, METHODS, figure=figure, **options)


@pytest.fixture(scope="module")
def results() -> xr.Dataset:
    return study().run()


@pytest.fixture(scope="module")
def course() -> xr.Dataset:
    data = simdyn.SignalNoiseData(n_samples=5, dimension=100, signal_norm=2.0)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.01)
    made = Study(data, net, METHODS, replicates=2, figure=Trajectories())
    return made.run()


def drawn(ds: xr.Dataset, figure: Picture) -> Drawn:
    made = plot.draw(ds, figure)
    assert isinstance(made, Drawn)
    return made


def boxes(made: Drawn) -> np.ndarray:
    """Boxes of axes in inches: left, bottom, right, top."""
    width, height = made.get_size_inches()
    found = [ax.get_position().extents for ax in made.axes]
    return np.array(found) * [width, height, width, height]


KINDS = {
    "phase_diagram": PhaseDiagram(at=AT),
    "curves": Curves(
        x="signal_norm", variables=("test_error", "train_loss"), at={**AT, "dimension": 200}
    ),
    "trajectories": Trajectories(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "inches"),
    [
        ({}, 7.0),
        ({"width": "single"}, 3.35),
        ({"width": 5}, 5.0),
        ({"font_size": 10.5, "width": 7.0}, 7.0),
        ({"font_size": 8, "width": "single"}, 3.35),
        ({"width": 12, "legend": "none"}, 12.0),
        ({"width": "single", "legend": "above", "title": "Two methods"}, 3.35),
    ],
)
def test_look__panels_fit_any_sheet(
    kind: str, options: dict[str, Any], inches: float, results: xr.Dataset, course: xr.Dataset
) -> None:
    ds = course if kind == "trajectories" else results
    made = drawn(ds, KINDS[kind].replace(**options))
    assert made.get_size_inches()[0] == pytest.approx(inches)
    found = boxes(made)
    assert found.min() > 0.0
    assert (found[:, [2, 3]] < made.get_size_inches()).all()
    for one, other in itertools.combinations(found, 2):
        apart = (one[:2] >= other[2:] - 1e-9) | (other[:2] >= one[2:] - 1e-9)
        assert apart.any(), (one, other)
    # All that is written is on the sheet.
    sheet = made.bbox
    made.draw_without_rendering()
    entries = [text for legend in made.legends for text in legend.get_texts()]
    labels = [label for ax in made.axes for label in (ax.xaxis.label, ax.yaxis.label, ax.title)]
    for text in (*made.texts, *entries, *labels):
        box = text.get_window_extent()
        assert box.x0 >= sheet.x0 - 1, text
        assert box.x1 <= 1.01 * sheet.x1, text
    assert bool(made.legends) == (options.get("legend") != "none")
    lefts = {round(left, 6) for left in found[:, 0]}
    if inches != 5.0 and "font_size" not in options:
        assert (len(lefts) == 1) == (inches < 5.0)


@pytest.mark.parametrize("kind", KINDS)
def test_look__legend_above(kind: str, results: xr.Dataset, course: xr.Dataset) -> None:
    ds = course if kind == "trajectories" else results
    usual = KINDS[kind].replace(title="Two methods")
    made = {place: drawn(ds, usual.replace(legend=place)) for place in ("below", "above", "none")}
    below, above = (made[place].legends[0] for place in ("below", "above"))

    def ends(shown: Any) -> tuple[float, float]:
        box = shown.get_window_extent()
        return box.y0 / shown.get_figure().dpi, box.y1 / shown.get_figure().dpi

    assert ends(below)[1] < boxes(made["below"])[:, 1].min()
    assert ends(above)[0] > boxes(made["above"])[:, 3].max()
    assert ends(above)[1] < ends(made["above"].texts[0])[0]
    assert texts(above) == texts(below)
    assert made["below"].get_figheight() < made["above"].get_figheight()
    assert made["none"].get_figheight() < made["below"].get_figheight()


def texts(legend: Any) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def test_look__legend_inside(results: xr.Dataset) -> None:
    usual = KINDS["curves"]
    made = drawn(results, usual.replace(legend="inside"))
    first, second = (ax.get_legend() for ax in made.axes)
    assert second is None
    assert not made.legends
    assert texts(first) == texts(drawn(results, usual).legends[0])
    made.draw_without_rendering()
    inside, panel = first.get_window_extent(), made.axes[0].bbox
    assert panel.x0 < inside.x0 < inside.x1 < panel.x1
    assert panel.y0 < inside.y0 < inside.y1 < panel.y1
    assert made.get_figheight() == drawn(results, usual.replace(legend="none")).get_figheight()
    large = usual.replace(legend="inside", labels={"sgd": "gradient descent " * 5})
    assert "larger than a panel; allowed are 'below'" in refusal(drawn, results, large)


def test_look__letters_enlarge_the_layout(results: xr.Dataset) -> None:
    usual = drawn(results, KINDS["curves"].replace(width=3.5))
    large = drawn(results, KINDS["curves"].replace(width=7.0, font_size=14, font="serif"))
    np.testing.assert_allclose(boxes(large), 2 * boxes(usual), rtol=1e-9)
    for one, other in zip(usual.axes, large.axes, strict=True):
        assert other.xaxis.label.get_size() == 2 * one.xaxis.label.get_size() == 15
        assert other.xaxis.label.get_family() == ["serif"]


def test_look__files_have_the_formats_and_letters(results: xr.Dataset, tmp_path: Path) -> None:
    figure = PhaseDiagram(at=AT, width="single", font_size=9, formats=("svg", "png"))
    written = plot.save(drawn(results, figure), tmp_path / "map.svg")
    assert [path.name for path in written] == ["map.svg", "map.png"]
    first = [path.read_bytes() for path in written]
    assert b"<svg" in first[0]
    assert matplotlib.image.imread(written[1]).shape[1] == round(3.35 * 300)
    assert [
        path.read_bytes() for path in plot.save(drawn(results, figure), tmp_path / "map")
    ] == first


def test_look__captions_as_text(results: xr.Dataset, tmp_path: Path) -> None:
    figure = PhaseDiagram(at=AT, caption="file", title="Where 100 % is learned")
    made = drawn(results, figure)
    assert not [text for text in made.texts if text.get_gid() == "caption"]
    assert [text.get_text() for text in made.texts] == ["Where 100 % is learned"]
    written = plot.save(made, tmp_path / "map")
    assert [path.suffix for path in written] == [".png", ".pdf", ".txt", ".tex"]
    plain, latex = (path.read_text(encoding="utf-8") for path in written[2:])
    assert plain.startswith(
        "(a) SGD, (b) SAM: mean test error over 2 replicates; (c) SGD minus SAM."
    )
    assert "n = 5" in plain
    assert "$" not in plain
    assert r"$\sigma _p$~=~1" in latex
    assert latex.count("$") % 2 == 0
    below = drawn(results, figure.replace(caption="below"))
    shown = " ".join(text.get_text() for text in below.texts if text.get_gid() == "caption")
    assert shown == made.caption == below.caption
    gone = drawn(results, figure.replace(caption="none"))
    assert [path.suffix for path in plot.save(gone, tmp_path / "gone")] == [".png", ".pdf"]


@pytest.mark.parametrize("kind", KINDS)
def test_look__height_of_panels(kind: str, results: xr.Dataset, course: xr.Dataset) -> None:
    ds = course if kind == "trajectories" else results
    usual, made = drawn(ds, KINDS[kind]), drawn(ds, KINDS[kind].replace(panel_height=3.0))
    panels = (
        len([ax for ax in made.axes if ax.get_gid() != "bar"]) if kind != "phase_diagram" else 3
    )
    heights = (boxes(made)[:, 3] - boxes(made)[:, 1])[:panels]
    np.testing.assert_allclose(heights, 3.0)
    assert made.get_size_inches()[1] > usual.get_size_inches()[1]
    large = drawn(ds, KINDS[kind].replace(panel_height=3.0, font_size=10.5))
    found = boxes(large)
    np.testing.assert_allclose((found[:, 3] - found[:, 1])[:panels], 3.0)  # on paper


def test_look__scales_of_maps() -> None:
    space = {"dimension": [100, 200, 1000], "signal_norm": [0.0, 1.0, 10.0, 100.0]}
    ds = study(space=space).run()
    usual = drawn(ds, PhaseDiagram()).axes[0]
    assert (usual.get_xscale(), usual.get_yscale()) == ("linear", "linear")
    own = drawn(ds, PhaseDiagram(x_scale="log", y_scale="symlog")).axes[0]
    assert (own.get_xscale(), own.get_yscale()) == ("log", "symlog")
    # Cells end halfway between values on the axis as it is drawn.
    (mesh,) = (part for part in own.collections if part.get_array() is not None)
    grid = mesh.get_coordinates()
    x, y = grid[0, :, 0], grid[:, 0, 1]
    np.testing.assert_allclose(x[1:3], np.sqrt([100 * 200, 200 * 1000]))
    np.testing.assert_allclose(y[:5], [-0.5, 0.5, 10**0.5, 10**1.5, 10**2.5])
    assert own.get_ylim() == (y[0], y[-1])
    with pytest.raises(simdyn.InputError) as refused:
        plot.draw(ds, PhaseDiagram(y_scale="log"))
    assert str(refused.value) == (
        "figure.y_scale = 'log': signal_norm has the value 0; allowed for values that are not all "
        "positive are 'linear' and 'symlog'"
    )
    with pytest.raises(simdyn.InputError, match=r"figure\.y_scale = 'log': signal_norm has"):
        study(PhaseDiagram(y_scale="log"), space=space)


def test_look__thin_contours(results: xr.Dataset) -> None:
    usual = drawn(results, PhaseDiagram(at=AT))
    more = drawn(results, PhaseDiagram(at=AT, thin_levels=(0.3, 2.0)))
    one = results.sel(n_patches=3, noise="orthogonal")
    wanted = simdyn.analysis.contour(one, "test_error", 0.3, "signal_norm")
    for k, method in enumerate(("sgd", "sam")):
        before, after = usual.axes[k].get_lines(), more.axes[k].get_lines()
        assert len(after) == len(before) + 2
        expected = wanted.sel({"method": method}).transpose("dimension").values
        found = [line for line in after if line.get_linewidth() == 0.5]
        np.testing.assert_allclose(found[0].get_ydata(), expected)
        texts = [text.get_text() for text in more.axes[k].texts if text.get_gid() == "level"]
        assert texts == ["0.3 "]
    assert "Thin black lines: contours at 0.3. There is no contour at 2." in more.caption
    both = drawn(results, PhaseDiagram(at=AT, level=0.4, thin_levels=(0.3,))).caption
    assert "Black lines: contours at 0.4; thin ones at 0.3." in both
    with pytest.raises(simdyn.InputError, match=r"numbers other than figure\.level = 0\.1"):
        plot.draw(results, PhaseDiagram(at=AT, thin_levels=(0.1,)))
    assert len(more.axes[2].get_lines()) == len(usual.axes[2].get_lines())


def test_look__symlog_axes_can_be_read(results: xr.Dataset) -> None:
    at = {**AT, "dimension": 200}
    shown = Curves(x="signal_norm", variables=("train_loss",), at=at, scale="symlog")
    (ax,) = drawn(results, shown).axes
    low, high = ax.get_ylim()
    assert low <= 0.0 < high
    inside = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert 0.0 in inside
    assert len(inside) >= 3


def test_look__means_that_a_log_axis_has_no_place_for(results: xr.Dataset) -> None:
    at = {**AT, "dimension": 200}
    ds = results.copy(deep=True)
    ds["train_loss"].loc[{"method": "sgd", "signal_norm": [1.0, 2.0], **at}] = 0.0
    shown = Curves(x="signal_norm", variables=("train_loss",), at=at)
    words = "Means of zero have no place on the logarithmic axes (SGD 2)."
    assert words in drawn(ds, shown.replace(scale="log")).caption
    assert words not in drawn(ds, shown).caption
    ds["train_loss"][:] = 0.0
    made = drawn(ds, shown.replace(scale="log"))
    assert "No mean is positive, so that no axis is logarithmic." in made.caption
    assert made.axes[0].get_yscale() == "linear"


def test_look__scales_of_curves(results: xr.Dataset) -> None:
    at = {**AT, "dimension": 200}
    shown = Curves(x="signal_norm", variables=("test_error", "train_loss"), at=at)
    for ax in drawn(results, shown.replace(x_scale="linear", scale="symlog")).axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "symlog")
    for ax in drawn(results, shown).axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")


def test_look__captions_name_parameters_only(course: xr.Dataset) -> None:
    assert {"label", "true_label"} <= {*course.coords}
    caption = drawn(course, Trajectories()).caption
    assert "n$\u00a0=\u00a05" in caption
    assert "y_i" not in caption


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_look__scales_of_trajectories(scale: str, course: xr.Dataset) -> None:
    made = drawn(course, Trajectories(x_scale=scale, scale=scale))
    growth, _, losses, *_ = made.axes
    assert growth.get_yscale() == "log"
    assert (losses.get_xscale(), losses.get_yscale()) == (scale, scale)
    first = min(line.get_xdata()[0] for line in losses.get_lines())
    assert first == (0.5 if scale == "log" else 0.0)
    assert ("half an update" in made.caption) == (scale == "log")


def test_text_files__letters_and_commands() -> None:
    caption = r"erf$(\tau/(\sigma_0\sqrt{2Bm}))$, ‖μ‖ = 2_x & 5 %, $η$ … ±".replace(
        " = ", "\u00a0=\u00a0"
    )
    assert text_files.plain(caption) == "erf(τ/(σ_0√2Bm)), ‖μ‖ = 2_x & 5 %, η … ±\n"
    latex = text_files.latex(caption)
    assert latex.startswith(r"erf$(\tau/(\sigma_0\sqrt{2Bm}))$, $\Vert$$\mu$$\Vert$~=~2\_x \& 5 \%")
    assert latex.endswith("$\\eta $ \\dots{} $\\pm$\n")


def test_look__values_of_further_axes(results: xr.Dataset) -> None:
    table = plot.numbers(results, KINDS["phase_diagram"])
    one = results.sel(n_patches=3, noise="orthogonal")
    wanted = simdyn.summary(one)["test_error"].isel(step=-1)
    for row in table.itertuples():
        at = {"dimension": row.dimension, "signal_norm": row.signal_norm, "method": row.method}
        assert row.test_error == wanted.sel(at).item()
    other = plot.numbers(results, KINDS["phase_diagram"].replace(at={**AT, "n_patches": 2.0}))
    assert (other.test_error != table.test_error).any()
    said = drawn(results, KINDS["phase_diagram"]).caption
    assert "$P$\u00a0=\u00a03" in said


def test_look__in_study_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figure = PhaseDiagram(
        at=AT, width="single", font_size=8, caption="file", formats=("png",), colours="viridis"
    )
    Path("small.toml").write_text(as_toml(study(figure), figure), encoding="utf-8")
    assert load_study("small.toml").figure == figure
    answer = call("run small.toml")
    assert answer.code == 0, answer.err
    names = [f"figures/small.{form}" for form in ("png", "txt", "tex")]
    assert answer.out.splitlines() == ["results/small.zarr", *names]


def test_look__bad_input(results: xr.Dataset) -> None:
    for figure, words in [
        (
            PhaseDiagram(),
            "n_patches, noise is swept, but on no axis; choose one value of it, in figure.at",
        ),
        (
            PhaseDiagram(at={**AT, "n_patches": 4}),
            "figure.at.n_patches = 4.0: not on the axis; 2 or 3 is",
        ),
        (PhaseDiagram(at={**AT, "noise": "white"}), "figure.at.noise = 'white': not on the axis"),
        (PhaseDiagram(at={**AT, "noise": 1.0}), "figure.at.noise = 1.0: not on the axis"),
        (PhaseDiagram(at={**AT, "n_samples": 5}), "figure.at = 'n_samples': not swept"),
        (PhaseDiagram(at={**AT, "dimension": 100}), "figure.at: 'dimension' is on an axis"),
    ]:
        assert words in refusal(study, figure)
    assert "not on the axis" in refusal(plot.draw, results, PhaseDiagram(at={**AT, "n_patches": 9}))
    assert "'seed' is not swept" in refusal(plot.draw, results, PhaseDiagram(at={**AT, "seed": 9}))
    assert "figure.font = 'Comic': did you mean" in refusal(
        plot.draw, results, PhaseDiagram(at=AT, font="Comic")
    )
    assert "figure.colours = 'virdis': did you mean 'viridis'" in refusal(
        plot.draw, results, PhaseDiagram(at=AT, colours="virdis")
    )
