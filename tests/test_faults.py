"""Planted faults: each is put into a copy of the source, and a claim must turn it down."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simdyn

PACKAGE = Path(simdyn.__file__).parent

PER_FILTER = """    copy(overlaps, work.perturbed)
    for f in range(overlaps.shape[1]):
        square = 0.0
        for k in range(overlaps.shape[0]):
            square += work.coefficients[k, f] * work.products[k, f]
        if square > 0.0:
            for k in range(overlaps.shape[0]):
                work.perturbed[k, f] += radius / math.sqrt(square) * work.products[k, f]
"""

# name: (file, text, what replaces it, claim that must fail, words its statement must have)
FAULTS = {
    "perturbation downhill": (
        "gradient.py", "work.products, radius / norm)", "work.products, -radius / norm)",
        "update", "W + ε̂",
    ),
    "a norm for each filter": (
        "gradient.py",
        "    copy(overlaps, work.perturbed)\n"
        "    add_scaled(work.perturbed, work.products, radius / norm)\n",
        PER_FILTER, "update", "one norm over all filters",
    ),
    "loss slope at W": (
        "gradient.py", "        margins[i] = labels[i] * output(",
        "        if overlaps.ctypes.data != work.perturbed.ctypes.data:\n"
        "            margins[i] = labels[i] * output(",
        "update", "ℓ' at W + ε̂",
    ),
    "P − 1 dropped": (
        "sampling.py", "setting.n_patches - 1.0)", "1.0)", "shared-noise", "P − 1 copies",
    ),
    "noise made orthogonal": (
        "sampling.py", "if not setting.orthogonal:", "if setting.n_samples < 0:", "sampler",
        "law of drawn vectors",
    ),
}  # fmt: skip
CLAIMS = ("update", "shared-noise", "sampler")


def verdicts(root: Path) -> dict[str, tuple[str, str]]:
    """Verdict and statement of each claim, by the package of `root`."""
    done = subprocess.run(
        [sys.executable, "-c", "from simdyn.cli import main; main()", "check", "--quick", "--json",
         *CLAIMS],
        env=os.environ | {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache")},
        capture_output=True, text=True, cwd=root, timeout=600,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {r["name"]: (r["verdict"], r["statement"]) for r in json.loads(done.stdout)}


def copied(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "simdyn", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.campaign
def test_faults__the_untouched_copy_passes(tmp_path: Path) -> None:
    found = verdicts(copied(tmp_path))
    assert {verdict for verdict, _ in found.values()} == {"holds"}


@pytest.mark.campaign
@pytest.mark.parametrize("fault", FAULTS)
def test_faults__each_is_caught(fault: str, tmp_path: Path) -> None:
    file, old, new, claim, words = FAULTS[fault]
    root = copied(tmp_path)
    source = root / "simdyn" / "kernels" / file
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1, "the fault must meet one place"
    source.write_text(text.replace(old, new), encoding="utf-8")
    verdict, statement = verdicts(root)[claim]
    assert verdict == "fails"
    assert words in statement
