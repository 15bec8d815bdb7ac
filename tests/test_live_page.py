"""The live page in a real headless Chromium, and the command that serves it."""

import http.client
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Browser, lacking, served
from commands import command, ended, refused

import simdyn

STUDY = Path(__file__).parents[1] / "studies" / "phase_diagram.toml"
LOSS = "Array.from(model('course_sam').data.train_loss)"


needs_browser = pytest.mark.skipif(bool(lacking()), reason=lacking())


pytest.importorskip("bokeh")
pytestmark = pytest.mark.campaign  # each starts a server, most of them a browser, too


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_explore__serves_on_this_machine_only_and_ends(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = command("explore --no-browser", cwd=tmp_path)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)
    assert found
    port = int(found[1])
    page = urllib.request.urlopen(address, timeout=60).read().decode()
    assert "simdyn" in page
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", port))  # every other address of this machine
    process.send_signal(number)
    answer = ended(process)
    assert (answer.code, answer.out) == (0, "simdyn explore: ended\n")
    assert answer.err == ""
    assert not list(tmp_path.iterdir())


def test_explore__ends_while_it_computes(tmp_path: Path) -> None:
    text = STUDY.read_text().replace("num = 21", "num = 9").replace("= 100 ", "= 1000 ")
    (tmp_path / "slow.toml").write_text(text)
    process = command("explore --no-browser slow.toml", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    store, end = tmp_path / "results" / "slow.zarr", time.monotonic() + 60
    while not store.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    answer = ended(process)
    assert (answer.code, answer.out) == (0, "simdyn explore: ended\n")
    assert simdyn.load_study(tmp_path / "slow.toml").run(store).status.all()  # it goes on


def test_explore__refuses_what_it_cannot_show(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path, "explore nothing.toml")
    assert "allowed is a free port" in refused(tmp_path, "explore --port 70000")
    assert "a map needs two" in refused(tmp_path, "explore", STUDY.with_name("trajectories.toml"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port}: " in refused(tmp_path, f"explore --port {port}")


def test_explore__refuses_other_origins(tmp_path: Path) -> None:
    """A page of another site cannot reach the server through a visitor's browser."""
    with served(folder=tmp_path) as (address, _):
        urllib.request.urlopen(address, timeout=60).read()
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        link = http.client.HTTPConnection(address.split("/")[2], timeout=60)
        for origin, status in (("http://example.org", 403), (address.rstrip("/"), 101)):
            link.request("GET", "/ws", headers={**headers, "Origin": origin})
            assert link.getresponse().status == status
            link.close()


# -- in the browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    made = Browser(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def playground(folder: Path) -> Iterator[str]:
    with served(folder=folder) as (address, _):
        yield address


@pytest.fixture
def page(browser: Browser, playground: str) -> Iterator[Browser]:
    """The playground as it opens; at the end its console has no error and no warning."""
    browser.complaints()
    browser.open(playground)
    browser.until("model('course_sam').data.train_loss.length > 10")
    yield browser
    assert browser.complaints() == []


def executed(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "copied", "exec"), names)
    return names


def saved(folder: Path, name: str) -> bytes:
    file, end = folder / name, time.monotonic() + 60
    while not file.exists() or not file.stat().st_size:
        assert time.monotonic() < end, f"{name} was not saved"
        time.sleep(0.05)
    time.sleep(0.2)
    return file.read_bytes()


@needs_browser
def test_playground__a_slider_moves_the_curves_and_the_address(page: Browser) -> None:
    before = page.run("model('sentence').text")
    page.changed(LOSS, lambda: page.slide("signal_norm", 60))
    moved = float(
        page.until("parseFloat(model('signal_norm').value) > 6 && model('signal_norm').value")
    )
    page.until(f"location.search.includes('signal_norm={moved:g}')")
    page.until(f"model('sentence').text != {before!r}")
    shown = page.run(LOSS)
    page.driver.refresh()  # the address brings the setting back
    page.until(f"model('signal_norm').value == '{moved:g}'")
    page.until(f"JSON.stringify({LOSS}) == JSON.stringify({shown})")


@needs_browser
def test_playground__a_bad_value_is_said_beside_its_field(page: Browser) -> None:
    page.enter("dimension", "-5")
    text = page.until("model('dimension_wrong').visible && model('dimension_wrong').text")
    assert "allowed is an integer from 1 to 2**53" in text
    field, said = page.run(
        "[view('dimension').el, view('dimension_wrong').el].map(e => e.getBoundingClientRect().top)"
    )
    assert 0 < said - field < 120
    page.changed(LOSS, lambda: page.enter("dimension", "1e12"))
    assert not page.run("model('dimension_wrong').visible")


@needs_browser
def test_playground__copied_python_gives_the_numbers_shown(
    page: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    page.changed(LOSS, lambda: page.slide("radius", 20))
    page.until("!model('stop').visible")
    radius = page.run("model('radius').value")
    page.until(f"model('wire').data.python[0].includes('radius={float(radius)!r}')")
    page.press("copy_python")
    page.until("model('copy_python').label == 'copied'")
    ds = executed(page.clipboard())["ds"]
    capsys.readouterr()
    shown = np.array(page.run(LOSS))
    np.testing.assert_array_equal(shown, ds.train_loss.sel({"method": "sam"}).mean("replicate"))


@needs_browser
def test_playground__copied_study_file_is_one(page: Browser, tmp_path: Path) -> None:
    page.press("copy_study")
    page.until("model('copy_study').label == 'copied'")
    (tmp_path / "copied.toml").write_text(page.clipboard(), encoding="utf-8")
    ds = simdyn.load_study(tmp_path / "copied.toml").run()
    shown = np.array(page.run(LOSS))
    np.testing.assert_array_equal(shown, ds.train_loss.sel({"method": "sam"}).mean("replicate"))


@needs_browser
def test_playground__saves_what_it_shows(page: Browser, folder: Path) -> None:
    for form, start in {"png": b"\x89PNG", "pdf": b"%PDF", "csv": b"method,updates,"}.items():
        page.press(f"save_{form}")
        assert saved(folder, f"setting.{form}").startswith(start)


@needs_browser
def test_playground__a_long_training_is_stopped(page: Browser) -> None:
    page.enter("learning_rate", "1e-12")
    page.enter("epochs", "1e12")
    page.until("model('stop').visible")
    page.press("stop")
    page.until("model('sentence').text.startsWith('Stopped')")
    page.until("!model('stop').visible")
    page.changed(LOSS, lambda: page.enter("epochs", "10"))


@needs_browser
def test_playground__two_pages_do_not_disturb_each_other(page: Browser, playground: str) -> None:
    shown = page.run(LOSS)
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    try:
        page.open(f"{playground}?signal_norm=9")
        page.until(f"JSON.stringify({LOSS}) != JSON.stringify({shown}) && {LOSS}.length > 10")
        page.enter("epochs", "1e12")  # hours
        page.until("model('stop').visible")
    finally:
        page.driver.close()
        page.driver.switch_to.window(first)
    assert page.run(LOSS) == shown
    assert page.run("model('signal_norm').value") == "2.5"
    page.changed(LOSS, lambda: page.slide("signal_norm", 20))


@needs_browser
def test_playground__data_of_another_law(page: Browser) -> None:
    page.changed(LOSS, lambda: page.run("model('model').value = 'xor'"))
    page.until("view('angle').el.getBoundingClientRect().height > 0")
    page.changed(LOSS, lambda: page.enter("angle", "40"))


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (800, False)])
def test_playground__fits_the_window_and_its_light(
    width: int, dark: bool, playground: str, folder: Path
) -> None:
    made = Browser(folder, width, dark)
    try:
        made.open(playground)
        made.until("model('course_sam').data.train_loss.length > 10")
        ink = made.until(
            "model('train_loss').title.text_color == model('theme').value || "
            "(model('theme').value && model('train_loss').title.text_color)"
        )
        assert int(ink[1:3], 16) > 128 if dark else int(ink[1:3], 16) < 128
        assert made.run("document.documentElement.scrollWidth <= innerWidth")
        right = made.run(
            "['growth_sgd', 'train_loss', 'conditions']"
            ".map(name => view(name).el.getBoundingClientRect().right)"
        )
        assert all(0 < edge <= width for edge in right)
        assert made.complaints() == []
    finally:
        made.close()


@needs_browser
def test_map__drawn_as_it_is_computed_and_a_click_trains_a_cell_again(
    browser: Browser, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "small.toml").write_text(STUDY.read_text().replace("num = 21", "num = 5"))
    browser.complaints()
    with served("small.toml", folder=folder) as (address, _):
        assert address.endswith("/map")
        browser.open(address)
        browser.until("Array.from(model('cells').data.first).every(Number.isFinite)")
        frame = "Bokeh.index.find_one_by_id(model('map_first').children[0].id)"
        browser.until(f"{frame}.frame.bbox.width > 100")
        left, top, width, height = browser.run(
            f"(() => {{ const view = {frame}; middle(view.el);"
            "const box = view.el.getBoundingClientRect(), b = view.frame.bbox;"
            "return [box.left + b.left, box.top + b.top, b.width, b.height]; })()"
        )
        browser.click(left + 0.7 * width, top + 0.7 * height)  # fourth column, second row
        told = browser.until(
            "model('sentence').text.includes('same bits') && model('sentence').text"
        )
        assert "dimension = 16000, signal_norm = 2.5" in told
        assert browser.run("model('course_sam').data.test_error.length") == 101
        browser.until("model('wire').data.python[0].includes('replay')")
        shown = browser.run("Array.from(model('cells').data.second)[8]")
        browser.press("copy_python")
        browser.until("model('copy_python').label == 'copied'")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            names = executed(browser.clipboard())
        capsys.readouterr()
        at = {"dimension": 16000, "signal_norm": 2.5, "method": "sam"}
        assert float(names["mean"].sel(at)) == shown
        assert names["course"].attrs["agreement"] == "bits"
        last = browser.run("Array.from(model('course_sam').data.test_error)[100]")
        assert last == float(names["course"].test_error.isel(step=-1).mean("replicate"))
        # Another variable, one method, and files.
        browser.changed(
            "Array.from(model('cells').data.first)",
            lambda: browser.run("model('choose_variable').value = 'train_loss'"),
        )
        browser.run("model('choose_second').value = '—'")
        browser.until("!model('map_difference').visible")
        browser.press("save_csv")
        assert saved(folder, "small.csv").startswith(b"dimension,signal_norm,train_loss sgd")
        browser.press("save_pdf")
        assert saved(folder, "small.pdf").startswith(b"%PDF")
        assert browser.complaints() == []
        browser.driver.get("about:blank")  # before the server ends


@needs_browser
def test_map__without_a_study_says_how_to_open_one(browser: Browser, playground: str) -> None:
    browser.complaints()
    browser.open(f"{playground}map")
    assert "simdyn explore" in browser.run("model('sentence').text")
    assert browser.complaints() == []
