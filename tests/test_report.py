"""Reports: one file with everything in it."""

import html.parser
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from browsing import Browser, lacking
from commands import call, refused

import simdyn
from simdyn import SGD, Crossing, Record, Study
from simdyn.claims import check, dataset
from simdyn.params import CriticalLines, Curves, PhaseDiagram, Picture
from simdyn.store import write_dataset
from simdyn.study.study_text import as_toml
from simdyn.variables.provenance import provenance

DATA = {"n_samples": 5, "noise_std": 1.0}
NET = {"n_filters": 2, "init_std": 0.01}
METHODS = {
    "sgd": [SGD(learning_rate=0.1, epochs=20)],
    "fast 2.0": [SGD(learning_rate=0.2, epochs=20)],
}
SPACE = {"dimension": [100, 200, 400], "signal_norm": [0.5, 1.0, 2.0, 4.0]}
RECORD = Record(variables=("test_error", "train_loss"))


class Page(html.parser.HTMLParser):
    """What a page shows as text, and where its tags point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.targets, self.depth = "", list[str](), 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag in ("script", "style")
        self.targets += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.depth:
            self.text += data + " "


def report(folder: Path, study: Study, figure: Picture | None, *words: str) -> Page:
    """The report of a study that is run in a folder."""
    (folder / "small.toml").write_text(as_toml(study, figure), encoding="utf-8")
    if not (folder / "results").exists():
        study.run(folder / "results" / "small.zarr")
    answer = call("report", folder / "small.toml", "--out", folder, *words)
    assert answer.code == 0, answer.err
    path = folder / "reports" / "small.html"
    assert answer.out == f"{path}\n"
    assert path.stat().st_size < 5e6
    page = Page(path.read_text(encoding="utf-8"))
    assert all(target.startswith("data:") for target in page.targets)
    return page


def small(**options: object) -> Study:
    options = {"space": SPACE, "replicates": 2, "record": RECORD, **options}
    return Study(DATA, NET, METHODS, **options)  # type: ignore[arg-type]


def test_report__of_a_phase_diagram_has_everything(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    page = report(tmp_path, small(), PhaseDiagram())
    text = " ".join(page.text.split())
    for words in (
        "small 3 dimension × 4 signal_norm · 2 method(s) · 2 replicate(s) · seed 0",
        "1 done done 48",
        'kind = "phase_diagram"',
        '"fast 2.0" = [',
        "test_error",
        f"simdyn {simdyn.__version__}".split("+")[0].removeprefix("simdyn "),
        f"fingerprint {small().fingerprint}",
        "core-seconds",
    ):
        assert words in text, words
    source = (tmp_path / "reports" / "small.html").read_text()
    assert page.targets[0].startswith("data:image/png;base64,")
    assert "Bokeh" in source
    assert re.search(r"@value0 .{1,12} @error0", source)  # ±, escaped twice


def test_report__of_other_kinds_of_figure_and_of_none(tmp_path: Path) -> None:
    curves = Study({**DATA, "dimension": 100}, NET, METHODS, {"signal_norm": [0.5, 1.0, 2.0]})
    solved = Study(
        DATA,
        NET,
        {"sgd": METHODS["sgd"]},
        {"dimension": [100, 400]},
        replicates=5,
        solve=Crossing(field="signal_norm", between=(0.1, 100.0), level=0.2),
    )
    for k, (study, figure) in enumerate(
        [(curves, Curves(x="signal_norm")), (solved, CriticalLines()), (curves, None)]
    ):
        folder = tmp_path / str(k)
        folder.mkdir()
        page = report(folder, study, figure)
        assert len(page.targets) == (figure is not None)
        assert "The same to explore" not in page.text


def test_report__of_a_store_alone_and_of_runs_that_did_not_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    space = {**SPACE, "where": "dimension < 300"}
    store = tmp_path / "results" / "cut.zarr"
    small(space=space).run(store)
    answer = call("report", store, "--out", tmp_path)
    assert answer.out == f"{tmp_path / 'reports' / 'cut.html'}\n"
    assert answer.err.startswith("no maps to explore: they need Bokeh")
    text = " ".join(Page((tmp_path / "reports" / "cut.html").read_text()).text.split())
    assert "1 done done 32" in text
    assert "5 masked masked 16" in text
    assert 'where = "dimension < 300"' in text


def test_report__with_claims(tmp_path: Path) -> None:
    table = dataset(check(["rebuild"], quick=True), provenance({}))
    write_dataset(table, tmp_path / "results" / "check-quick.zarr")
    study = small(space={"dimension": [100], "signal_norm": [1.0]})
    study.run(tmp_path / "results" / "small.zarr")
    page = report(tmp_path, study, None, "--claims")
    assert "rebuild exact" in " ".join(page.text.split())
    assert "holds" in page.text


def test_report__bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(as_toml(small(), PhaseDiagram()))
    assert "no such results" in refused(tmp_path, "report small.toml")
    small().run("results/small.zarr")
    assert "--claims: there is no results/check.zarr" in refused(
        tmp_path, "report small.toml --claims"
    )
    Path("reports").write_text("in the way")
    assert "reports is not a writable folder" in refused(tmp_path, "report small.toml")


@pytest.mark.campaign
@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_report__opens_in_a_browser_without_a_network(tmp_path: Path) -> None:
    report(tmp_path, small(), PhaseDiagram())
    browser = Browser(tmp_path)
    try:
        browser.driver.get((tmp_path / "reports" / "small.html").as_uri())
        shown = browser.driver.execute_script(
            "const source = Bokeh.documents[0].get_model_by_name('cells');"
            "return Array.from(source.data.value0)"
        )
        ds = simdyn.open_results(tmp_path / "results" / "small.zarr")
        mean = simdyn.summary(ds)["test_error"].isel(step=-1).sel({"method": "sgd"})
        np.testing.assert_allclose(
            shown, mean.transpose("signal_norm", "dimension").values.ravel(), rtol=1e-6
        )
        severe = [
            entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"
        ]
        assert not severe
    finally:
        browser.driver.quit()
