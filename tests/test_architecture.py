"""The rooms of the package: who may import whom, and what lies on top."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools
from common import items

import simdyn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "simdyn"

# From the ground up: each may import only those before it, and itself.
ROOMS = items("""
    base  kernels  params  variables  theory  engine  space  study  store  run  api  claims  plot
    explore  cli  guide
""")

# Files of the room `explore` that import Bokeh as they are loaded; the server loads them.
SKIN = {
    *items("controls  drawings  map_drawings  browser_link  playground_page  map_page  report_map")
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, everywhere: bool = False) -> set[str]:
    """Full names of modules a file imports when it is loaded; with `everywhere`, ever."""

    def walk(nodes: list[ast.stmt]) -> list[ast.stmt]:
        found = []
        for node in nodes:
            found.append(node)
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (checking or function) and not everywhere:
                continue
            for field in ("body", "orelse", "finalbody"):
                found += walk(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                found += walk(handler.body)
        return found

    names: set[str] = set()
    for node in walk(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module in ("simdyn", "simdyn.kernels"):
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name for name in submodules if is_module(name)} or {node.module}
            else:
                names.add(node.module)
    return names


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or place.is_dir()


def users(*libraries: str, everywhere: bool = False) -> set[str]:
    """Rooms with a file that imports one of these libraries."""
    return {
        room_of(path)
        for path in sources()
        if {name.split(".")[0] for name in imports(path, everywhere=everywhere)} & set(libraries)
    }


def test_rooms__every_file_belongs_to_one() -> None:
    assert {room_of(path) for path in sources()} - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms__import_only_those_below(path: Path, everywhere: bool) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not any(n.startswith("simdyn") for n in imports(path, everywhere=False))
        return
    below = set(ROOMS[: ROOMS.index(room) + 1])
    for name in imports(path, everywhere=everywhere):
        if name == "simdyn":
            assert room in ("cli", "guide")
        elif name.startswith("simdyn."):
            assert name.split(".")[1] in below, f"{room} imports {name}"


def test_rooms__no_two_files_of_one_name() -> None:
    names = [path.name for path in sources() if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_imports__finds_what_a_file_imports(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b\nfrom c import d\nfrom simdyn import study, load_study\n"
        "from simdyn.kernels import structures as codes\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import e\ntry:\n    import f\nexcept ImportError:\n    import g\n"
        "def h():\n    import i\nclass J:\n    import k\n    def m(self):\n        import n\n"
    )
    loaded = {"a.b", "c", "simdyn.study", "simdyn.kernels.structures", "typing", "f", "g", "k"}
    assert imports(path) == loaded
    assert imports(path, everywhere=True) == loaded | {"e", "i", "n"}


def test_libraries__only_kernels_compile() -> None:
    assert users("numba", "llvmlite") == {"kernels"}
    assert users("numba", "llvmlite", everywhere=True) <= {"kernels", "variables", "store"}


def test_libraries__only_the_store_touches_zarr() -> None:
    assert users("zarr", everywhere=True) == {"store"}


def test_libraries__only_plot_draws_and_only_cli_talks() -> None:
    assert users("matplotlib", everywhere=True) == {"plot"}
    assert users("typer", "click", everywhere=True) == {"cli"}
    assert users("rich", everywhere=True) == {"api"}  # the bar of a run, from either
    assert users("tomllib", everywhere=True) == {"study"}
    assert users("bokeh", "tornado", everywhere=True) == {"explore"}


def test_libraries__the_state_of_the_live_page_knows_no_widgets() -> None:
    """Nothing but the skin over it imports Bokeh, and no other room imports that skin."""
    skin = {path.stem for path in sources() if "bokeh" in {n.split(".")[0] for n in imports(path)}}
    assert skin == SKIN
    for path in sources():
        if room_of(path) != "explore" or path.stem not in SKIN:
            assert not {f"simdyn.explore.{name}" for name in SKIN} & imports(path), path


def test_libraries__kernels_know_no_labels_and_no_files() -> None:
    labels = ("xarray", "pandas", "zarr", "pydantic", "json", "tomllib")
    assert "kernels" not in users(*labels, everywhere=True)
    for path in (PACKAGE / "kernels").glob("*.py"):
        inner = {name for name in imports(path, everywhere=True) if name.startswith("simdyn")}
        inner -= {"simdyn.base.replacement"} if path.name == "cache.py" else set()
        assert all(name.startswith("simdyn.kernels") for name in inner), path


def test_libraries__nothing_evaluates_text() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "__import__", "compile"), path


def test_kernels__no_prange_no_parallel_no_reassociation() -> None:
    for path in (PACKAGE / "kernels").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert "prange" not in names, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "parallel":
                assert ast.unparse(node.value) == "False", path
            if isinstance(node, ast.keyword) and node.arg == "fastmath":
                assert ast.unparse(node.value) in ("False", "{'contract'}"), path


def test_functions__take_at_most_eight_positional_parameters() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                given = [argument.arg for argument in node.args.posonlyargs + node.args.args]
                name = getattr(node, "name", "lambda")
                assert len(set(given) - {"self", "cls"}) <= 8, f"{path.name}: {name}"


def test_tests__import_no_other_test() -> None:
    """What several share is in helper modules, also for code that runs in other processes."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    names = {path.stem for path in tests if path.stem.startswith("test_")}
    assert len(names) > 40
    imported = re.compile(r"^\s*(?:from|import)\s+(?:tests\.)?(test_\w+)", re.M)
    for path in tests:
        assert not names & set(imported.findall(path.read_text(encoding="utf-8"))), path


# -- the public face -----------------------------------------------------------------------------


def test_all__public_names_are_pinned() -> None:
    assert sorted(simdyn.__all__) == sorted(
        items("""
            SAM  SGD  ClusterData  Crossing  ImageData  IndependentNoiseData  InputError
            MultiViewData  Problem  Record  SignalNoiseData  Study  TwoLayerCNN  XORData  analysis
            collapse  draw  exponent  initial_weights  load_study  open_results  plot  simulate
            replay  summary  theory  train
        """)
    )
    for name in simdyn.__all__:
        assert getattr(simdyn, name).__name__.rpartition(".")[2] == name
        assert getattr(simdyn, name).__doc__
    assert sorted(dir(simdyn)) == sorted(simdyn.__all__)
    assert simdyn.__version__ == importlib.import_module("simdyn.base.version").VERSION
    with pytest.raises(AttributeError, match="attribute simulat"):
        simdyn.simulat  # noqa: B018


def loaded_by(code: str) -> set[str]:
    """Modules that are loaded after running this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {
    *items("numpy  numba  llvmlite  scipy  xarray  pandas  zarr"),
    *items("matplotlib  pydantic  typer  rich  dask"),
}


def test_import__is_quick() -> None:
    assert not loaded_by("import simdyn") & HEAVY


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("simdyn.SAM", {"numba", "xarray", "zarr", "matplotlib", "scipy"}),
        ("simdyn.Study", {"zarr", "matplotlib", "typer"}),
        ("simdyn.simulate", {"zarr", "matplotlib", "typer"}),
        ("simdyn.open_results", {"matplotlib", "typer"}),
        ("simdyn.summary", {"numba", "zarr", "matplotlib", "typer"}),
        ("simdyn.theory.signal_time", {"numba", "xarray", "zarr", "matplotlib", "typer"}),
        ("simdyn.analysis.contour", {"numba", "zarr", "matplotlib", "typer"}),
        ("simdyn.plot.draw", {"zarr", "typer"}),
        ("import simdyn.run, simdyn.plot.shown_numbers", {"scipy.optimize", "scipy.stats"}),
        ("from simdyn.explore import scene, setting, server", {"bokeh", "tornado", "matplotlib"}),
        ("from simdyn.cli import app", {"bokeh", "tornado", "matplotlib"}),
    ],
)
def test_import__names_load_only_what_they_need(code: str, absent: set[str]) -> None:
    assert not loaded_by(f"import simdyn; {code}") & absent


# -- the repository ------------------------------------------------------------------------------


def test_repository__top_level() -> None:
    ignored = {"simdyn.egg-info", "build", "dist", "results", "LICENSE"}
    found = {item.name for item in ROOT.iterdir() if not item.name.startswith(".")} - ignored
    assert found == {"simdyn", "tests", "studies", "figures", "pyproject.toml", "README.md"}
    assert (ROOT / "LICENSE").is_file()


def test_packaging__every_folder_of_code_is_shipped() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in sources()}
    found = setuptools.find_packages(str(ROOT), **config["tool"]["setuptools"]["packages"]["find"])
    assert set(found) == folders
    assert config["project"]["scripts"] == {"simdyn": "simdyn.cli:main"}


# Libraries of extras, and the rooms that may ask for them.
OF_EXTRAS = {
    "sklearn": ("data", {"engine"}),
    "distributed": ("cluster", {"run", "cli", "api"}),
    "dask": ("cluster", {"run"}),
    "dask_jobqueue": ("cluster", {"run"}),
    "h5netcdf": ("netcdf", {"store"}),
    "h5py": ("netcdf", {"store"}),
    "sphinx": ("docs", {"guide"}),
    "docutils": ("docs", {"guide"}),
    "bokeh": ("explore", {"explore"}),
    "tornado": ("explore", {"explore"}),
}


def library_named(module: str) -> str:
    come_with = {"sklearn": "scikit-learn", "docutils": "sphinx"}
    return come_with.get(module, module.replace("_", "-"))


def test_packaging__core_imports_are_declared() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {text.split(">")[0] for text in config["project"]["dependencies"]}
    extras = config["project"]["optional-dependencies"]
    come_with = {"llvmlite": "numba", "pydantic_core": "pydantic", "lazy_loader": "lazy-loader"}
    for path in sources():
        for name in imports(path, everywhere=True):
            library = name.split(".")[0]
            if library in OF_EXTRAS:  # never at the top of a file
                extra, rooms = OF_EXTRAS[library]
                assert library_named(library) in {text.split(">")[0] for text in extras[extra]}
                assert room_of(path) in rooms
                assert name not in imports(path) or path.stem in SKIN
                continue
            if library not in sys.stdlib_module_names and library != "simdyn":
                assert come_with.get(library, library) in declared, f"{path.name}: {library}"
