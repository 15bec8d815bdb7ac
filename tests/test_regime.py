"""Where the laws are derived: what is said of a point, of a study, and on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call

import simdyn
from simdyn.api.study import Study, load_study
from simdyn.params import SAM, SGD, SignalNoiseData, TwoLayerCNN, XORData
from simdyn.study import regime_check
from simdyn.study.regime_check import outside
from simdyn.theory import laws
from simdyn.theory import regime as regimes
from simdyn.theory.regime import regime

STUDIES = Path(__file__).parents[1] / "studies"
DATA: dict[str, Any] = {"n_samples": 20, "dimension": 10_000, "signal_norm": 4.0}
NET: dict[str, Any] = {"n_filters": 10, "init_std": 1e-3}
PLAN: dict[str, Any] = {"learning_rate": 0.002, "epochs": 10_000}


def place(kind: Any = SGD, law: Any = SignalNoiseData, **changes: Any) -> regimes.Regime:
    """The regime of the study of trajectories, with changes."""

    def chosen(fields: dict[str, Any], owner: Any) -> dict[str, Any]:
        return fields | {k: v for k, v in changes.items() if k in owner.model_fields}

    plan = kind(**chosen(PLAN, kind))
    return regime(law(**chosen(DATA, law)), TwoLayerCNN(**chosen(NET, TwoLayerCNN)), [plan])


def test_regime__inside_with_the_numbers_of_theory() -> None:
    found = place()
    assert found.reasons == []
    assert found.updates == 10_000
    assert found.noise_updates == pytest.approx(laws.noise_time(10_000, 20, 0.002, 2, 1.0, 10))
    share = laws.signal_time(20, 20, 0.002, 4.0, 10) / 10_000
    assert found.signal_share == pytest.approx(share)
    assert found.output == pytest.approx(1e-3 * np.hypot(100.0, 4.0) / np.sqrt(10))
    assert found.conditions["d ≥ n²"] == pytest.approx(np.log10(10_000 / 400))


@pytest.mark.parametrize("signal_norm", [1e100, 1e160, 1e300])
@pytest.mark.parametrize("noise_std", [0.0, 1.0, 1e-200, 1e200])
@pytest.mark.parametrize("rate", [1e-300, 1.0])
def test_regime__at_the_ends_of_the_range(
    signal_norm: float, noise_std: float, rate: float
) -> None:
    """A signal whose square is no double is learned at once, and nothing overflows."""
    found = place(signal_norm=signal_norm, noise_std=noise_std, learning_rate=rate)
    assert 0.0 <= found.signal_share <= (1e105 if signal_norm == 1e100 else 0.0)
    exact = 4.0 if noise_std == 0.0 else 4.0 + 2 * np.log10(2 * noise_std) - np.log10(20)
    if noise_std:
        met = found.conditions["d ≥ n‖μ‖²/(Pσ_p)²"]
        assert met == pytest.approx(exact - 2 * np.log10(signal_norm))


def test_regime__at_a_rate_that_learns_the_signal_at_once() -> None:
    """Epochs over the signal's updates are beyond a double."""
    found = place(signal_norm=1.0, learning_rate=1e306, epochs=10**9)
    assert found.signal_share == 0.0


def test_regime__updates_of_small_batches() -> None:
    """Twice the updates an epoch at half the batch: the same number of updates for the noise."""
    assert place(batch_size=10).noise_updates == pytest.approx(place().noise_updates)
    assert place(batch_size=10).signal_share == pytest.approx(place().signal_share / 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.1}, ["noise is fitted in 0.42 updates (one or more assumed)"]),
        (
            {"learning_rate": 20.0, "epochs": 10},
            ["noise is fitted in 0.0021 updates (one or more assumed)"],
        ),
        ({"epochs": 1000}, ["the signal (γ = 1) takes 1.7 times the training"]),
        (
            {"epochs": 10},
            [
                "noise takes 2.1 times the training",
                "the signal (γ = 1) takes 170 times the training",
            ],
        ),
        ({"label_flip": 0.3}, ["the signal (γ = 1) takes ∞ times the training"]),
        ({"init_std": 0.03}, ["initial outputs are 0.95 (at most 0.3 assumed)"]),
        ({"n_samples": 120}, ["d ≥ n² is missed by a factor 1.4"]),
        ({"signal_norm": 50.0}, ["d ≥ n‖μ‖²/(Pσ_p)² is missed by a factor 1.2"]),
        ({"signal_norm": 0.0}, []),
        ({"noise_std": 0.0}, []),
    ],
)
def test_regime__tells_why_not_with_numbers(changes: dict[str, Any], said: list[str]) -> None:
    assert place(**changes).reasons == said


def test_regime__the_signal_may_come_in_several_phases() -> None:
    data, net = SignalNoiseData(**DATA), TwoLayerCNN(**NET)
    half = [
        SAM(radius=0.03, learning_rate=0.002, epochs=1000),
        SGD(learning_rate=0.002, epochs=1000),
        SGD(learning_rate=0.1, epochs=0),
    ]
    assert regime(data, net, half).signal_share == pytest.approx(place(epochs=2000).signal_share)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"momentum": 0.9}, "momentum = 0.9"),
        ({"activation": "huber_relu"}, "activation = 'huber_relu'"),
        ({"loss": "hinge"}, "loss = 'hinge'"),
        ({"init_std": 0.0}, "init_std = 0"),
        ({"kind": SAM, "radius": 0.1, "group_size": 1}, "a perturbation that is not SAM's own"),
        ({"epochs": 0}, "no training"),
        ({"law": simdyn.ClusterData, "signal_share": 0.5}, "data of the model 'cluster'"),
    ],
)
def test_regime__without_a_law_says_nothing_else(changes: dict[str, Any], said: str) -> None:
    found = place(**changes)
    assert (found.uncovered, found.reasons) == (said, [])


def test_regime__a_rate_that_changes_has_no_law() -> None:
    phase = SGD(**PLAN).model_copy(update={"learning_rate": "0.1*cosine()"})
    found = regime(SignalNoiseData(**DATA), TwoLayerCNN(**NET), [phase])
    assert found.uncovered == "a learning rate that changes"


def test_regime__of_xor_data_asks_for_the_noise() -> None:
    assert place(law=XORData, learning_rate=0.1).reasons == place(learning_rate=0.1).reasons
    assert place(law=XORData, epochs=1000).reasons == []


def test_noise_time_power__is_when_the_largest_overlap_is_one() -> None:
    n, d, m, q, std = 20, 4000, 10, 3.0, 0.2 / np.sqrt(4000)
    rate = 4 / d
    predicted = laws.noise_time_power(d, n, n, rate, 2, 1.0, m, init_std=std, power=q)
    ds = simdyn.simulate(
        SignalNoiseData(n_samples=n, dimension=d, signal_norm=0.0),
        TwoLayerCNN(n_filters=m, init_std=std, activation="relu_power", activation_shape=q),
        SGD(learning_rate=rate, epochs=int(2 * predicted)),
        replicates=20,
        record=simdyn.Record(every=1, variables=("noise_coef",)),
    )
    largest = ds.noise_coef.max(("sign", "filter", "sample"))
    start = 0.2 * 2.7  # the largest of 200 normals, which grows by the coefficient (P = 2)
    times = np.argmax(largest.values >= 1.0 - start, axis=1)
    error = times.std() / np.sqrt(20) / predicted
    assert abs(times.mean() / predicted - 1.0) < 0.15 + 4 * error
    assert error < 0.05


def committed() -> dict[str, str]:
    """What is said of each study of this repository."""
    noise = "noise is fitted in {} updates (one or more assumed)"
    return {
        "phase_diagram": noise.format("0.2…0.84"),
        "phase_diagram_minibatch": noise.format("0.2…0.84"),
        "phase_schedules": noise.format("0.42"),
        "xor": noise.format("0.8…0.99"),
        "trajectories": "",
        "relu_power": "",
        "digits_noise": "",
    }


@pytest.mark.parametrize("name", committed())
def test_outside__of_the_committed_studies(name: str) -> None:
    if name.startswith("digits"):
        pytest.importorskip("sklearn")
    line, said = outside(load_study(STUDIES / f"{name}.toml")), committed()[name]
    assert (said in line) if said else line == ""
    assert "\n" not in line


def small(**changes: Any) -> Study:
    fields = {"n_samples": 10, "signal_norm": 2.0}
    methods = {"sgd": [SGD(learning_rate=0.01, epochs=2000)]}
    options: dict[str, Any] = {"space": {"dimension": [200, 400, 800]}, **changes}
    return Study(fields, {"n_filters": 4, "init_std": 1e-3}, methods, **options)


def test_outside__counts_points_and_tells_the_range() -> None:
    assert outside(small()) == ""
    rates = [0.01, 0.5, 1.0]
    line = outside(small(space={"dimension": [200, 400, 800], "learning_rate": rates}))
    updates = laws.noise_time(np.array([[200], [400], [800]]), 10, np.array(rates), 2, 1.0, 4)
    out = updates[updates < 1.0]
    assert line == (
        f"outside the theory's regime at {out.size} of 9 points: noise is fitted in "
        f"{out.min():.2g}…{out.max():.2g} updates (one or more assumed) at {out.size}. "
        "Its laws do not hold there; the results do"
    )


def test_outside__reads_no_masked_point_and_few_of_many() -> None:
    rates = {"dimension": [200, 400], "learning_rate": [0.01, 1.0]}
    assert outside(small(space=rates)) != ""
    apart = {"where": "dimension > 200", "zip": ["dimension", "learning_rate"]}
    assert "at 1 of 1" not in (line := outside(small(space={**rates, **apart})))
    assert "noise is fitted in 0.21 updates" in line
    assert outside(small(space={"dimension": [200, 40_000], "where": "dimension < 300"})) == ""
    many = {
        "dimension": {"log": [1e3, 1e9], "num": 3000},
        "learning_rate": {"log": [1e-3, 1.0], "num": 3000},
    }
    line = outside(small(space=many))
    assert "points looked at: noise is fitted in 8.4e-08…" in line  # the corner is among them
    assert int(line.split(" of ")[1].split()[0]) <= regime_check.LOOKED_AT + regime_check.CORNERS


STUDY = """
[data]
n_samples = 4
dimension = 400
signal_norm = 3.0
[network]
n_filters = 2
init_std = 0.001
[methods]
sgd = [{ optimiser = "SGD", learning_rate = RATE, epochs = 300 }]
"""


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_cli__plan_and_run_say_in_one_line_when_a_study_lies_outside(
    rate: float, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(STUDY.replace("RATE", str(rate)))
    line = outside(load_study(path))
    assert (line == "") == (rate == 0.01)
    for command in ("plan --nominal", "run"):
        answer = call(command, path, "--out", tmp_path)
        assert answer.code == 0, answer
        said = [text.strip() for text in (answer.out + answer.err).splitlines() if "regime" in text]
        assert said == ([line] if line else [])
    assert "noise is fitted in 0.042 updates" in line or not line
