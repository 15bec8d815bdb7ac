"""A live page in a real headless Chromium: what tests and measurements of it share."""

import contextlib
import importlib.util
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from commands import command

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Elements lie in nested shadow roots.
SEARCH = """
function all(root, found) {
  for (const element of root.querySelectorAll("*")) {
    found.push(element);
    if (element.shadowRoot) all(element.shadowRoot, found);
  }
  return found;
}
function middle(element) {
  element.scrollIntoView({block: "center"});
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2, box.width, box.height];
}
function model(name) { return Bokeh.documents[0].get_model_by_name(name); }
function view(name) { return Bokeh.index.find_one_by_id(model(name).id); }
"""


def lacking() -> str:
    """Why there can be no test in a browser; nothing if there can be."""
    for name in ("bokeh", "selenium"):
        if importlib.util.find_spec(name) is None:
            return f"no {name}"
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"no {name}: apt-get install chromium chromium-driver"
    return ""


@contextlib.contextmanager
def served(*words: object, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address of a page that is served, and its process."""
    process = command("explore --no-browser", *words, cwd=folder)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Browser:
    """A page in Chromium.

    Parameters
    ----------
    downloads : path
        Where saved files go.
    width : int
    dark : bool
    """

    def __init__(self, downloads: Path, width: int = 1280, dark: bool = False) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        self.profile = tempfile.mkdtemp()
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},1000"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[theme])
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        self.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.tell("Browser.grantPermissions", permissions=["clipboardReadWrite"])

    def tell(self, method: str, **params: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self.driver.execute_cdp_cmd(method, params)

    def open(self, address: str) -> None:
        """Open a page, and wait until it has drawn something."""
        self.driver.get(address)
        self.until("window.Bokeh && Bokeh.documents.length && model('sentence') && true")

    def run(self, expression: str) -> Any:
        """The value of an expression on the page."""
        return self.driver.execute_script(f"{SEARCH}\nreturn {expression};")

    def until(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true; returns it."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(f"(() => {{ try {{ return {expression} }} catch (e) {{}} }})()")
            if found:
                return found
            assert time.monotonic() < end, f"still not: {expression}"
            time.sleep(0.02)

    def changed(self, expression: str, act: Callable[[], None], seconds: float = 60.0) -> Any:
        """Do something, and wait until an expression has another value; returns it."""
        before = self.run(f"JSON.stringify({expression})")
        act()
        return self.until(f"JSON.stringify({expression}) != {json.dumps(before)} && {expression}")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """An event of the mouse's left button."""
        held = 0 if kind == "mouseMoved" else 1
        self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=held)

    def click(self, x: float, y: float) -> None:
        """Press and release."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def press(self, name: str) -> None:
        """Click a button."""
        x, y, *_ = self.run(f"middle(view({name!r}).el.shadowRoot.querySelector('button'))")
        self.click(x, y)

    def slide(self, name: str, pixels: float) -> None:
        """Drag a slider's handle, in three moves."""
        handle = f"view('{name}_slider').el.shadowRoot.querySelector('.noUi-handle')"
        x, y, *_ = self.run(f"middle({handle})")
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y)
        for part in (1, 2, 3):
            self.tell(
                "Input.dispatchMouseEvent",
                type="mouseMoved",
                x=x + pixels * part / 3,
                y=y,
                button="left",
                buttons=1,
            )
        self.mouse("mouseReleased", x + pixels, y)

    def enter(self, name: str, text: str) -> None:
        """Type a text into a field, in place of what it holds."""
        x, y, *_ = self.run(f"middle(view({name!r}).el.shadowRoot.querySelector('input'))")
        self.click(x, y)
        self.run(f"view({name!r}).el.shadowRoot.querySelector('input').select()")
        self.tell("Input.insertText", text=text)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.tell("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.tell("Input.dispatchKeyEvent", type="keyUp", **key)

    def clipboard(self) -> str:
        """The text on the clipboard."""
        code = "const done = arguments[0]; navigator.clipboard.readText().then(done, e => done(''))"
        return str(self.driver.execute_async_script(code))

    def complaints(self) -> list[str]:
        """Errors and warnings on the browser's console since the last call."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)
