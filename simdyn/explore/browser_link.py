"""What a page does in the browser itself: address, clipboard, files, light or dark."""

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from bokeh.models import Button, ColumnDataSource, CustomJS, Div, TextInput

ADDRESS = """
const query = cb_obj.data.query[0];
history.replaceState(null, "", location.pathname + (query ? "?" + query : ""));
"""
COPY = """
const text = wire.data[name][0], label = button.label;
async function copy() {
  try { await navigator.clipboard.writeText(text); }
  catch (refused) {
    const area = document.createElement("textarea");
    area.value = text; document.body.append(area); area.select();
    document.execCommand("copy"); area.remove();
  }
  button.label = "copied"; setTimeout(() => { button.label = label; }, 1200);
}
copy();
"""
SAVE = """
const {name, kind, content} = cb_obj.data;
if (!content[0]) return;
const bytes = Uint8Array.from(atob(content[0]), c => c.charCodeAt(0));
const link = document.createElement("a");
link.href = URL.createObjectURL(new Blob([bytes], {type: kind[0]}));
link.download = name[0]; document.body.append(link); link.click(); link.remove();
setTimeout(() => URL.revokeObjectURL(link.href), 10000);
cb_obj.data = {name: [""], kind: [""], content: [""]};
"""
THEME = """
const asked = window.matchMedia("(prefers-color-scheme: dark)");
const tell = () => { theme.value = asked.matches ? "dark" : "light"; };
asked.addEventListener("change", tell); tell();
"""
KINDS = {"png": "image/png", "pdf": "application/pdf", "csv": "text/csv"}


class BrowserLink:
    """The line from a page on the server to its browser.

    Parameters
    ----------
    document : bokeh.document.Document
    texts : iterable of str
        Names of the texts that buttons copy.
    themed : callable
        Called with True for a dark browser, False for a light one.
    """

    def __init__(
        self, document: Any, texts: tuple[str, ...], themed: Callable[[bool], None]
    ) -> None:
        self.wire = ColumnDataSource({name: [""] for name in ("query", *texts)}, name="wire")
        self.wire.js_on_change("data", CustomJS(code=ADDRESS))
        self.file = ColumnDataSource({"name": [""], "kind": [""], "content": [""]}, name="file")
        self.file.js_on_change("data", CustomJS(code=SAVE))
        self.theme = TextInput(value="", visible=False, name="theme")
        self.theme.on_change("value", lambda _attr, _old, new: themed(new == "dark"))
        document.js_on_event("document_ready", CustomJS(args={"theme": self.theme}, code=THEME))
        # Models that no root holds are not sent; tags hold them.
        self.root = Div(name="hidden", visible=False, tags=[self.wire, self.file, self.theme])

    def tell(self, query: str, **texts: str) -> None:
        """Set the address and the texts to copy."""
        self.wire.data = {"query": [query], **{name: [text] for name, text in texts.items()}}

    def copies(self, button: Button, name: str) -> None:
        """Let a button copy a text."""
        code = CustomJS(args={"wire": self.wire, "name": name, "button": button}, code=COPY)
        button.js_on_click(code)

    def save(self, name: str, form: str, content: bytes) -> None:
        """Let the browser save a file. It empties the data itself: changes may be combined."""
        self.file.data = {
            "name": [f"{name}.{form}"],
            "kind": [KINDS[form]],
            "content": [base64.b64encode(content).decode()],
        }


@contextlib.contextmanager
def at_once(document: Any) -> Iterator[None]:
    """Changes in this block reach the browser as one message, so that it draws once."""
    document.hold("combine")
    try:
        yield
    finally:
        document.unhold()


def arguments(document: Any) -> dict[str, str]:
    """What a page's address says, by name."""
    context = document.session_context
    given = {} if context is None else context.request.arguments
    return {name: values[-1].decode("utf-8", "replace") for name, values in given.items()}
