"""Numbers of fixed settings to the last bit, as `golden.json` holds them.

    python tests/golden.py            prints the bits of this CPU
    python tests/golden.py --record   writes golden.json, on purpose: results have changed

They are recorded for LLVM's CPU type "generic", which every machine of an architecture can stand
in for, and for the type at hand. Types that others recorded are kept if versions are the same.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba

import simdyn
from simdyn.kernels import NUMERICS_VERSION

RECORD = Path(__file__).with_name("golden.json")
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "d" / "generic-kernels"  # pytest's own cache
Values = dict[str, str]
USUAL = ("train_loss", "grad_norm", "margin", "test_error", "test_error_se")

# The C library chooses between its functions by CPU too.
GENERIC = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable,-FMA4_Usable",
}


def versions() -> dict[str, str]:
    """What the bits depend on beside the type of CPU."""
    return {
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
    }


def cpu() -> str:
    """The type of CPU that kernels are compiled for."""
    return str(numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name())


def settings() -> dict[str, tuple[Any, ...]]:
    """Data, network, plan and further variables of each setting."""
    return {
        "paper": (
            simdyn.SignalNoiseData(
                n_samples=10, dimension=500, signal_norm=2.0, n_patches=3, label_flip=0.1
            ),
            simdyn.TwoLayerCNN(n_filters=3, init_std=1e-2),
            [
                simdyn.SAM(radius=0.1, learning_rate=0.02, epochs=20, batch_size=5),
                simdyn.SGD(learning_rate=0.02, epochs=20),
            ],
            ("signal_coef", "noise_coef", "sam_gap", "sharpness", "deactivated_fraction"),
        ),
        "rules": (
            simdyn.MultiViewData(
                n_samples=8, dimension=60, signal_norm=2.0, weak_norm=1.0, strong_only=0.25
            ),
            simdyn.TwoLayerCNN(
                n_filters=5, init_std=0.05, activation="leaky_relu", loss="hinge", output="sum"
            ),
            [
                simdyn.SAM(
                    radius=0.05,
                    learning_rate=3e-4,
                    epochs=10,
                    batch_size=4,
                    group_size=2,
                    momentum=0.9,
                    weight_decay=0.01,
                    label_noise=0.1,
                ),
                simdyn.SGD(learning_rate=3e-4, epochs=5, momentum=0.5),
            ],
            ("coef", "sam_gap", "initial_share"),
        ),
        "powers": (
            simdyn.ClusterData(
                n_samples=6, dimension=40, signal_norm=2.0, signal_share=0.5, noise="orthogonal"
            ),
            simdyn.TwoLayerCNN(
                n_filters=2, init_std=0.2, activation="relu_power", init="antisymmetric"
            ),
            [simdyn.SAM(radius=0.1, learning_rate=0.02, epochs=12, normalised=False)],
            ("coef", "sam_gap"),
        ),
    }


def values() -> Values:
    """Numbers of the last state of every setting, as hexadecimal floats."""
    numbers = {}
    for name, (data, net, plan, further) in settings().items():
        record = simdyn.Record(variables=(*USUAL, *further), probe_radius=0.02)
        last = simdyn.simulate(data, net, plan, seed=12345, record=record)
        last = last.isel(replicate=0, step=-1)
        for variable in record.variables or ():
            numbers[f"{name} {variable}"] = float(last[variable].values.flat[-1]).hex()
    data, net, plan, _ = settings()["paper"]
    solve = simdyn.Crossing(field="signal_norm", between=(0.1, 1e3), level=0.2, replicates=20)
    solved = simdyn.Study(data, net, {"one": plan}, seed=12345, solve=solve).run(progress=False)
    for variable in ("critical_value", "critical_low", "critical_slope", "evaluations"):
        numbers[f"solved {variable}"] = float(solved[variable].item()).hex()
    return numbers


def generic_values() -> Values:
    """Those of a process that compiles for the type "generic"."""
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ
        | GENERIC
        | {"NUMBA_CACHE_DIR": str(CACHE), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found: Values = json.loads(done.stdout)
    return found


def recorded() -> dict[str, Any]:
    """What golden.json holds."""
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def write_record() -> None:
    """Record the type "generic" and that of this machine."""
    kept: dict[str, Any] = {}
    if RECORD.exists():
        old = recorded()
        if (old["numerics_version"], old["versions"]) == (NUMERICS_VERSION, versions()):
            kept = old["cpus"]
    cpus = kept | {"generic": generic_values(), cpu(): values()}
    if kept.get("generic", cpus["generic"]) != cpus["generic"]:  # others' are of another code
        cpus = {name: cpus[name] for name in ("generic", cpu())}
    told = {"numerics_version": NUMERICS_VERSION, "versions": versions(), "cpus": cpus}
    RECORD.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        write_record()
    else:
        print(json.dumps(values(), indent=2))
