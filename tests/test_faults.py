"""Planted faults: each is put into a copy of the source, and a claim must turn it down.

Faults are placed by text. That each meets one place in the source as it is now is tested without
running any; to run them is a campaign, a compilation for each fault of a kernel:
`pytest -n 0 -s -m campaign tests/test_faults.py -k NAME`.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import simdyn
from simdyn.claims import CLAIMS

PACKAGE = Path(simdyn.__file__).parent

PERTURB = "    shifted(overlaps, work.products, radius / norm, work.perturbed)\n"
PER_FILTER = """    for f in range(overlaps.shape[0]):
        square = 0.0
        for k in range(overlaps.shape[1]):
            square += work.coefficients[f, k] * work.products[f, k]
        for k in range(overlaps.shape[1]):
            work.perturbed[f, k] = overlaps[f, k]
            if square > 0.0:
                work.perturbed[f, k] += radius / math.sqrt(square) * work.products[f, k]
"""
SUMS = "        rectified_sums(overlaps, work.traits[DOWN], reached(work), sums)"
MOVE = "            add_scaled_blocks(state.moved, work.coefficients,"
COPIES = """, "P", "patches of a sample", 2, 2**31)

    @property
    def noise_copies(self) -> int:
        \"\"\"All patches but one show the noise.\"\"\"
        return self.n_patches - 1
"""
SLOPES = "        to_logistic_slopes(slopes, samples.size)\n"


@dataclasses.dataclass(frozen=True)
class Fault:
    """A text in a source file, what stands there instead, and who must notice.

    `caught` are claims, each with words that its statement must have.
    """

    file: str
    old: str
    new: str
    caught: dict[str, str]


FAULTS = {
    "γ without the filter's sign": Fault(
        "kernels/observe.py",
        "= sign * square * moved[f, 0]",
        "= square * moved[f, 0]",
        {"rebuild": "γ and ρ rebuild the weights"},
    ),
    "perturbation downhill": Fault(
        "kernels/gradient.py",
        PERTURB,
        PERTURB.replace("radius", "-radius"),
        {"update": "W + ε̂", "ascent": "raises the loss"},
    ),
    "a norm for each filter": Fault(
        "kernels/gradient.py", PERTURB, PER_FILTER, {"update": "one norm over all filters"}
    ),
    "loss slope at W": Fault(
        "kernels/gradient.py",
        SUMS,
        f"        if overlaps.ctypes.data != work.perturbed.ctypes.data:\n    {SUMS}",
        {"update": "ℓ' at W + ε̂"},
    ),
    "coefficients decay": Fault(
        "kernels/updates.py",
        MOVE,
        f"            add_scaled(state.moved, state.moved, -1e-3)\n{MOVE}",
        {"signs": "never falls"},
    ),
    "P − 1 dropped": Fault(
        "kernels/sampling.py",
        "= 2 * known + number, setting.noise_copies",
        "= 2 * known + number, 1.0",
        {"shared-noise": "P − 1 copies"},
    ),
    "noise made orthogonal": Fault(
        "kernels/sampling.py",
        "if not setting.orthogonal:",
        "if setting.n_samples < 0:",
        {"sampler": "law of drawn vectors"},
    ),
    "later samples noisier": Fault(
        "kernels/sampling.py",
        "= setting.noise_std * noises[i, c]",
        "= (1.0 + i) * setting.noise_std * noises[i, c]",
        {"exchange": "samples"},
    ),
    "one partition for all epochs": Fault(
        "kernels/train.py",
        "random.PARTITION, at[EPOCH], state.order",
        "random.PARTITION, 0, state.order",
        {"batches": "fresh uniform order"},
    ),
    "standard errors halved": Fault(
        "kernels/observe.py",
        "error, deviation, effective = work.found[0], work.found[1], work.found[2]",
        "error, deviation, effective = work.found[0], 0.5 * work.found[1], work.found[2]",
        {"estimators": "standard errors, and these are as large as they should be"},
    ),
    "cells of competing failures overlap": Fault(
        "kernels/line_estimate.py",
        "start = max(start, lead / (1.0 - cosines[k, other]))",
        "start = max(start, lead / (1.0 - cosines[k, other]) - 1.0)",
        {"estimators": "by lines"},
    ),
    "p + (1 − p)e for the test error": Fault(
        "kernels/observe.py",
        "shrink = 1.0 - 2.0 * fresh.label_flip",
        "shrink = 1.0 - fresh.label_flip",
        {"estimators": "on observed labels"},
    ),
    "no cross term in the first gradient": Fault(
        "theory/laws.py",
        "signal_norm**2 * (1.0 + flips) + shared",
        "signal_norm**2 * (1.0 + flips)",
        {"gradient-norm": "√2 s‖μ‖Γ(d/2)"},
    ),
    "a bound without d": Fault(
        "theory/laws.py",
        "np.sqrt(2.0 * dimension / (batch_size * n_filters)) * n_patches",
        "np.sqrt(2.0 / (batch_size * n_filters)) * n_patches",
        {"gradient-bound": "√(d/(Bm))"},
    ),
    "labels are not seen in training": Fault(
        "kernels/gradient.py",
        "slopes[c] *= share * labels[np.uint64(samples[c])]",
        "slopes[c] *= share",
        {"stay-active": "neurons of the label's sign"},
    ),
    "erf without √2": Fault(
        "theory/laws.py",
        "np.sqrt(2.0 * batch_size * n_filters)))",
        "np.sqrt(batch_size * n_filters)))",
        {"deactivation-start": "erf(τ/(σ_0√(2Bm)))"},
    ),
    "SAM does not perturb": Fault(
        "kernels/updates.py",
        "passes = 2 if radius > 0.0 else 1",
        "passes = 1",
        {
            "deactivation-stage": "switched off",
            "label-noise": "comes down to p",
            "best-radius": "best radius",
        },
    ),
    "strides of SAM that do not perturb": Fault(
        "kernels/strides.py",
        "perturb(state.overlaps, reach, norm, work)",
        "perturb(state.overlaps, 0.0 * reach, norm, work)",
        {"sam-line": "SAM and then SGD"},
    ),
    "noise learned in a third of the time": Fault(
        "theory/laws.py",
        "return 2.1 * n_filters * batch_size",
        "return 0.7 * n_filters * batch_size",
        {"noise-time": "2.1 mB/"},
    ),
    "signal time without p": Fault(
        "theory/laws.py",
        "p = np.clip(label_flip, 1e-300, 0.4)",
        "p = np.clip(0.0 * label_flip, 1e-300, 0.4)",
        {"signal-time": "log((1−2p)/(1−p(1+e)))"},
    ),
    "a loss slope that never falls": Fault(
        "kernels/gradient.py",
        SLOPES,
        "        for c in range(samples.size):\n            slopes[c] = -0.5\n",
        {"log-growth": "no faster than log t"},
    ),
    "steps a hundredth as long": Fault(
        "kernels/train.py",
        "rate, noise = phase.learning_rate, phase.label_noise",
        "rate, noise = 0.01 * phase.learning_rate, phase.label_noise",
        {"fits": "training loss reaches ε"},
    ),
    "SGD's line like √d": Fault(
        "theory/critical_norms.py",
        "constant * (n_patches - 1) * noise_std * (dimension / n_samples) ** 0.25",
        "constant * (n_patches - 1) * noise_std * (dimension / n_samples) ** 0.5",
        {"benign-harmful": "critical line"},
    ),
    "copies of the noise miscounted": Fault(
        "params/data.py", COPIES, COPIES.replace("- 1\n", "- 1.15\n"), {"sgd-line": "(P−1)σ_p"}
    ),
}


def source(fault: Fault) -> str:
    """The text of its file; what is wrong with its place, if it does not meet just one."""
    path = PACKAGE / fault.file
    assert path.exists(), f"{fault.file} is gone: where does this fault belong now?"
    text = path.read_text(encoding="utf-8")
    places = text.count(fault.old)
    assert places == 1, f"meets {places} places in {fault.file}, must meet one: {fault.old!r}"
    return text


@pytest.mark.parametrize("fault", FAULTS)
def test_faults__each_meets_one_place(fault: str) -> None:
    changed = source(FAULTS[fault]).replace(FAULTS[fault].old, FAULTS[fault].new)
    compile(changed, FAULTS[fault].file, "exec")  # and is Python, though not run
    for claim, words in FAULTS[fault].caught.items():
        assert words in CLAIMS[claim].statement


def test_faults__every_claim_has_one() -> None:
    assert {claim for fault in FAULTS.values() for claim in fault.caught} == set(CLAIMS)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that all faults share: the kernels of those outside are compiled once.

    Compiled code is kept under a hash of the kernels' sources, and looked up by their folder.
    """
    root = tmp_path_factory.mktemp("planted")
    shutil.copytree(PACKAGE, root / "simdyn", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def verdicts(root: Path, claims: list[str]) -> dict[str, str]:
    """Verdict of each claim, by the package of `root`."""
    done = subprocess.run(
        [
            sys.executable,
            "-B",
            "-c",
            "from simdyn.cli import main; main()",
            "check",
            "--quick",
            "--json",
            *claims,
        ],
        env=os.environ | {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache")},
        capture_output=True,
        text=True,
        cwd=root,
        timeout=3600,
    )
    assert done.returncode in (0, 1), done.stderr
    return {report["name"]: report["verdict"] for report in json.loads(done.stdout)}


@pytest.mark.campaign
def test_faults__the_untouched_copy_passes(copy: Path) -> None:
    found = verdicts(copy, list(CLAIMS))
    assert set(found.values()) == {"holds"}, found


@pytest.mark.campaign
@pytest.mark.parametrize("fault", FAULTS)
def test_faults__each_is_caught(fault: str, copy: Path) -> None:
    planted = FAULTS[fault]
    place = copy / "simdyn" / planted.file
    try:
        place.write_text(source(planted).replace(planted.old, planted.new), encoding="utf-8")
        found = verdicts(copy, list(planted.caught))
    finally:
        shutil.copy2(PACKAGE / planted.file, place)  # with its date, by which code is looked up
    assert set(found.values()) == {"fails"}, found
