"""How the pages look: colours for light and dark, the page around the drawings, style sheets."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Palette:
    """Colours of drawings; each pair of lines also differs in its dashes."""

    ink: str
    soft: str
    grid: str
    panel: str
    sgd: str
    sam: str
    signal: str
    noise: str
    met: str
    violated: str


LIGHT = Palette(
    ink="#1d2330",
    soft="#6b7280",
    grid="#e5e7eb",
    panel="#ffffff",
    sgd="#c2410c",
    sam="#0369a1",
    signal="#047857",
    noise="#a21caf",
    met="#0369a1",
    violated="#c2410c",
)
DARK = Palette(
    ink="#e6e9ef",
    soft="#9aa3b2",
    grid="#2c3340",
    panel="#1b202a",
    sgd="#fb923c",
    sam="#38bdf8",
    signal="#34d399",
    noise="#e879f9",
    met="#38bdf8",
    violated="#fb923c",
)

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --panel: #ffffff; --ink: #1d2330;
  --soft: #6b7280; --line: #d1d5db; --accent: #0369a1; --wrong: #b91c1c; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161d; --panel: #1b202a; --ink: #e6e9ef; --soft: #9aa3b2; --line: #3a4352;
    --accent: #38bdf8; --wrong: #fca5a5; } }
* { box-sizing: border-box; }
html, body { margin: 0; height: 100%; background: var(--paper); color: var(--ink);
  font: 14px/1.4 system-ui, sans-serif; }
header { display: flex; gap: 1.2rem; align-items: baseline; padding: .5rem 1rem;
  border-bottom: 1px solid var(--line); }
header b { font-size: 1.05rem; }
header a { color: var(--soft); text-decoration: none; }
header a.here { color: var(--ink); border-bottom: 2px solid var(--accent); }
main { display: grid; grid-template-columns: 270px minmax(0, 1fr); align-items: start; }
aside { padding: .6rem 1rem; border-right: 1px solid var(--line); min-width: 0;
  max-height: calc(100vh - 2.6rem); overflow-y: auto; position: sticky; top: 0; }
section { padding: .6rem 1rem; min-width: 0; }
.drawings { display: grid; gap: .7rem; min-width: 0;
  grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.drawings > div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .3rem; min-width: 0; }
.drawings > .wide { grid-column: 1 / -1; border: 0; padding: 0; background: none; }
"""

WIDGETS = """
:host { color: var(--ink); font-family: system-ui, sans-serif; }
label, .bk-input-group, .bk-clearfix { color: var(--ink); }
label { font-size: 12px; }
.bk-input { background-color: var(--panel); color: var(--ink); border-color: var(--line);
  min-height: 26px; height: 26px; padding: 0 8px; }
.bk-btn, .bk-btn:hover { background-color: var(--panel); color: var(--ink);
  border-color: var(--line); }
.bk-btn:hover { border-color: var(--accent); }
.noUi-target { background: var(--line); border: 0; box-shadow: none; }
.noUi-connect { background: var(--accent); }
.noUi-handle { background: var(--panel); border-color: var(--accent); box-shadow: none; }
"""

PAGE = """
{% extends base %}
{% block inner_head %}
{{ super() }}
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>STYLE</style>
{% endblock %}
{% block contents %}
<header><b>simdyn</b>
  <a href="/" HERE_PLAYGROUND>playground</a><a href="/map" HERE_MAP>map</a></header>
<main>
  <aside>{{ embed(roots.controls) }}</aside>
  <section>{{ embed(roots.head) }}
    <div class="drawings">
    {% for root in roots if root.name not in ("controls", "head", "hidden") %}
      <div class="{{ root.name if root.name == "wide" }}">{{ embed(root) }}</div>
    {% endfor %}
    </div>{{ embed(roots.hidden) }}</section>
</main>
{% endblock %}
"""


def template(here: str) -> Any:
    """The page around the drawings, as Bokeh's template; `here` is "playground" or "map"."""
    from bokeh.core.templates import get_env

    text = PAGE.replace("STYLE", STYLE)
    for name in ("playground", "map"):
        text = text.replace(f"HERE_{name.upper()}", 'class="here"' if name == here else "")
    return get_env().from_string(text)


def palette(dark: bool) -> Palette:
    """The colours for a light or a dark page."""
    return DARK if dark else LIGHT


def paint(figure: Any, colours: Palette) -> None:
    """Colour the frame of a drawing: axes, grid, title and legend."""
    figure.background_fill_color = None
    figure.border_fill_color = None
    figure.outline_line_color = colours.grid
    figure.title.text_color = colours.ink
    for axis in figure.axis:
        axis.axis_line_color = axis.major_tick_line_color = colours.soft
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = colours.ink
    for grid in figure.grid:
        grid.grid_line_color = colours.grid
    for legend in figure.legend:
        legend.background_fill_color = colours.panel
        legend.background_fill_alpha = 0.8
        legend.border_line_color = None
        legend.label_text_color = colours.ink
