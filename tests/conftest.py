"""What several test files share: a study to be interrupted, killed or filled up."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
import xarray as xr
from chaos import write_study
from uncompiled import replace_intrinsics

from simdyn.api.study import Study, load_study
from simdyn.engine.arguments import pointers_for
from simdyn.engine.preparation import prepare
from simdyn.kernels.cache import kernels_kept
from simdyn.params import Record
from simdyn.store.skeleton import Skeleton


def pytest_configure(config: pytest.Config) -> None:
    """Without the compiler, kernels run as plain Python."""
    if numba.config.DISABLE_JIT:
        replace_intrinsics()
        config.addinivalue_line("filterwarnings", "ignore:.* encountered in:RuntimeWarning")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Kernels are compiled once, on two cores, before workers start and each compiles them all."""
    main = not hasattr(session.config, "workerinput")
    several = getattr(session.config.option, "numprocesses", None)
    if main and several and not numba.config.DISABLE_JIT and not kernels_kept():
        prepare(
            pointers_for(
                Record(), "relu", ["test_error", "sam_gap"], ["exact", "strides"], {"train_loss"}
            )
        )


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of about two seconds."""
    return write_study(tmp_path_factory.mktemp("study"), 3000)


@pytest.fixture(scope="session")
def undisturbed(file: Path) -> xr.Dataset:
    """Its results."""
    return load_study(file).run()


@pytest.fixture(scope="module")
def one_skeleton() -> Iterator[None]:
    """How a store of a study should be is worked out once for each study of a file."""
    studies: dict[tuple[str, str], Study] = {}

    @functools.cache
    def made(fingerprint: str, title: str, *rest: Any) -> Skeleton:
        return Skeleton(studies[fingerprint, title], *rest)

    def known(study: Study, shape: Iterable[int], *rest: Any) -> Skeleton:
        studies[study.fingerprint, study.name] = study
        return made(study.fingerprint, study.name, tuple(shape), *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simdyn.store.audit.Skeleton", known)
        yield
