"""Sphinx's configuration of the guide. Nothing here needs a network."""

from typing import Any

from simdyn.base.version import VERSION

project = "simdyn"
author = "The simdyn developers"
copyright = author
version = release = VERSION

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"  # committed notebooks have no outputs
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds of a cell; the first may compile the kernels
default_role = "py:obj"
smartquotes = False
nitpicky = True

autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"

html_theme = "pydata_sphinx_theme"
html_title = "simdyn"
html_static_path = ["pages/_static"]
html_css_files = ["guide.css"]
html_sidebars: dict[str, list[str]] = {
    name: [] for name in ("index", "start", "tutorial", "gallery")
}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 9,
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

OUTSIDE = {  # pages of other libraries' names in simdyn's docstrings
    "xarray.Dataset": "https://docs.xarray.dev/en/stable/generated/xarray.Dataset.html",
    "xarray.DataArray": "https://docs.xarray.dev/en/stable/generated/xarray.DataArray.html",
    "matplotlib.figure.Figure": (
        "https://matplotlib.org/stable/api/figure_api.html#matplotlib.figure.Figure"
    ),
    "distributed.Client": ("https://distributed.dask.org/en/stable/api.html#distributed.Client"),
}


def outside(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Link names of other libraries; leave names in docstrings that have no page as they are."""
    from docutils import nodes

    target = node.get("reftarget", "")
    if target in OUTSIDE:
        return nodes.reference("", "", contnode, internal=False, refuri=OUTSIDE[target])
    if target.startswith("python:"):  # numpydoc's name for float and the like
        return nodes.Text(contnode.astext().removeprefix("python:"))
    return contnode if node.get("reftype") == "obj" else None


def setup(app: Any) -> None:
    """Connect it."""
    app.connect("missing-reference", outside)
