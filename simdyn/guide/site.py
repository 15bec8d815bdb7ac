"""The site: pages by hand, pages from tables, what examples give, and Sphinx."""

import contextlib
import importlib.util
import io
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from simdyn.base.inputs import InputError
from simdyn.base.threads import available_threads
from simdyn.guide import command_pages, examples, gallery, law_pages, parameter_pages, public_names
from simdyn.guide.examples import SiteError

HERE = Path(__file__).parent
PAGES = HERE / "pages"
FIRST = "start.md"  # runs before all others, which have its compiled code and its results
OPTIONS = ("-q", "-W", "--keep-going", "-n", "-b", "html")


def written_pages() -> dict[str, str]:
    """Pages that are written by hand: text by path."""
    return {
        path.relative_to(PAGES).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PAGES.rglob("*.md"))
    }


def notebooks() -> list[Path]:
    """Notebooks, without outputs; the site is built with what they show when they are run."""
    return sorted(PAGES.rglob("*.ipynb"))


def generated_pages(studies: Path, figures: Path) -> dict[str, str]:
    """Pages that follow from the tables of the package and from study files."""
    return {
        **parameter_pages.pages(),
        **command_pages.pages(),
        **law_pages.pages(),
        **public_names.pages(),
        **gallery.pages(studies, figures),
    }


def build(out: Path, checkout: Path) -> Path:
    """Build the site, without a warning.

    Parameters
    ----------
    out : path
        Folder of the site; a site that is there is replaced.
    checkout : path
        A folder with the repository's ``figures`` and ``studies``.

    Returns
    -------
    path
        The first page.

    Raises
    ------
    InputError
        If Sphinx is missing, or the folders are not there.
    SiteError
        If an example fails or Sphinx warns.
    """
    if any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_nb")):
        raise InputError("Sphinx is not installed: pip install '.[docs]'")
    studies, figures = (checkout.resolve() / name for name in ("studies", "figures"))
    for folder in (studies, figures):
        if not folder.is_dir():
            raise InputError(f"{folder} is missing: run this in a checkout of simdyn")
    empty = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not empty and not (out / "objects.inv").is_file():
        raise InputError(f"{out} is there and is no site of before: choose another folder")
    with tempfile.TemporaryDirectory(prefix="simdyn-guide-") as scratch:
        source, html = Path(scratch, "source"), Path(scratch, "html")
        shutil.copytree(PAGES, source)
        shutil.copytree(figures, source / "figures", ignore=lambda _, names: _no_pngs(names))
        for name, text in generated_pages(studies, figures).items():
            _write(source / name, text)
        _run_examples(source, Path(scratch, "examples"), studies)
        _sphinx(source, html, Path(scratch, "doctrees"))
        if out.exists():
            shutil.rmtree(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(html, out)
    return out / "index.html"


def _no_pngs(names: list[str]) -> Iterator[str]:
    return (name for name in names if not name.endswith(".png"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _run_examples(source: Path, scratch: Path, studies: Path) -> None:
    """Run every page's code, and put outputs and pictures beside the pages."""
    others = sorted(set(source.rglob("*.md")) - {source / FIRST})
    results = (scratch / FIRST).with_suffix("") / "results"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(available_threads(), context) as pool:
        pool.submit(_run_page, source, scratch, source / FIRST, (studies,)).result()
        given = studies, results
        waiting = [pool.submit(_run_page, source, scratch, page, given) for page in others]
        try:
            for each in waiting:
                each.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _run_page(source: Path, scratch: Path, page: Path, given: tuple[Path, ...]) -> None:
    name = page.relative_to(source).with_suffix("")
    folder, text = scratch / name, page.read_text(encoding="utf-8")
    page.write_text(examples.run(text, f"{name}.md", folder, given), encoding="utf-8")
    for picture in folder.rglob("*.png"):
        place = page.with_suffix("") / picture.name
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, place)


def _sphinx(source: Path, html: Path, doctrees: Path) -> None:
    from sphinx.cmd.build import build_main

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        places = [str(source), str(html), "-d", str(doctrees), "-c", str(HERE)]
        failed = build_main([*OPTIONS, *places])
    if failed:
        lines = [line.replace(f"{source}/", "") for line in said.getvalue().splitlines()]
        raise SiteError("the site has warnings:\n" + "\n".join(lines))
