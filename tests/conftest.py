"""What several test files share: a study to be interrupted, killed or filled up."""

from pathlib import Path

import numba
import pytest
import xarray as xr
from chaos import write_study
from uncompiled import replace_intrinsics

from simdyn.api.study import load_study


def pytest_configure(config: pytest.Config) -> None:
    """Without the compiler, kernels run as plain Python."""
    if numba.config.DISABLE_JIT:
        replace_intrinsics()
        config.addinivalue_line("filterwarnings", "ignore:.* encountered in:RuntimeWarning")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of about two seconds."""
    return write_study(tmp_path_factory.mktemp("study"), 3000)


@pytest.fixture(scope="session")
def undisturbed(file: Path) -> xr.Dataset:
    """Its results."""
    return load_study(file).run()
