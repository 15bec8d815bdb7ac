"""The registry: every variable that can be recorded, and what the codes of its statuses mean."""

from typing import Any

from simdyn.kernels import codes
from simdyn.params import Data, DrawnData
from simdyn.variables.outcomes import OUTCOMES
from simdyn.variables.variable import Variable

STATUS = {
    codes.MISSING: "missing: not computed yet",
    codes.DONE: "done",
    codes.ZERO_GRADIENT: "zero gradient: from update status_step on every gradient was exactly "
    "zero; the state is valid",
    codes.NON_FINITE: "non-finite: an overflow was noticed at update status_step; from there "
    "on all is NaN",
    codes.FAILED: "failed",
    codes.MASKED: "masked",
    codes.UNREACHED: "not reached: a phase was over before its condition was met; the state is "
    "valid",
    codes.INTERPOLATED: "interpolated: not simulated; values lie between those at the corners of "
    "the point's cell, NaN where these have none",
}

_FILTER = ("step", "sign", "filter")
_SOLVED: dict[str, Any] = {"dims": (), "needs": ("solved axis",), "recorded": "by solving"}

VARIABLES: dict[str, Variable] = {
    "train_loss": Variable(
        "L(W)",
        "(1/n) Σ_i ℓ(y_i f(x_i))",
        "training loss",
        'Mean loss over the training samples, or their sum if the network\'s reduction is "sum".',
        recorded="by studies",
    ),
    "train_error": Variable(
        "",
        "(1/n) Σ_i 1(y_i f(x_i) < 0)",
        "training error",
        "Fraction of training samples on the wrong side; an output of zero counts one half.",
        recorded="by studies",
    ),
    "test_error": Variable(
        "L₀₋₁",
        "p + (1 − 2p) P(ŷ f(x) < 0)",
        "test error",
        "Error on a fresh sample's observed label, whose floor is p; on explicit test data the "
        "fraction of wrong samples. An output of zero counts one half.",
        test=True,
        recorded="by studies",
    ),
    "test_error_se": Variable(
        "",
        "",
        "standard error of the test error",
        "From the spread of the random draws, for lines with one more draw as far off as the "
        "farthest; binomial on explicit test data.",
        test=True,
        recorded="by studies",
    ),
    "test_error_ess": Variable(
        "",
        "(Σ X)²/Σ X²",
        "effective draws of the test error",
        "Effective sample size of the estimate; one antithetic pair of lines counts as one draw. "
        "It does not show what no draw met.",
        needs=("fresh samples",),
        test=True,
        recorded="by studies",
    ),
    "test_error_low": Variable(
        "",
        "",
        "lower end of the test error's interval",
        "Of the 95 % interval of Clopper and Pearson, from the given test samples.",
        needs=("test samples",),
        test=True,
        recorded="by studies",
    ),
    "test_error_high": Variable(
        "",
        "",
        "upper end of the test error's interval",
        "Of the 95 % interval of Clopper and Pearson, from the given test samples.",
        needs=("test samples",),
        test=True,
        recorded="by studies",
    ),
    "clean_test_error": Variable(
        "",
        "P(ŷ f(x) < 0)",
        "clean test error",
        "Error on a fresh sample's true label.",
        needs=("fresh samples",),
        test=True,
        recorded="by studies",
    ),
    "grad_norm": Variable(
        "‖∇L(W)‖_F",
        "√(Σ C∘GC)",
        "gradient norm",
        "Frobenius norm of the full-batch gradient.",
        recorded="by studies",
    ),
    "sam_gap": Variable(
        "L(W+ε̂) − L(W)",
        "ε̂ = τ ∇L_I(W)/‖∇L_I(W)‖_F",
        "SAM gap",
        "By how much SAM's perturbation raises the loss, the mean over batches of consecutive "
        "samples; τ and the batch size are those of the phase which made the last update, or τ is "
        "Record.probe_radius. Normalised and shared by the batch, also if a phase's own is not.",
        probe=True,
    ),
    "deactivated_fraction": Variable(
        "",
        "#{⟨w_{y_k,r}, ξ_k⟩ > 0 ≥ ⟨w_{y_k,r} + ε̂_{y_k,r}, ξ_k⟩} / #{⟨w_{y_k,r}, ξ_k⟩ > 0}",
        "deactivated fraction",
        "Of the filters of the observed label's sign that a sample's noise makes active, those "
        "that SAM's perturbation on the sample's batch switches off; 0 if none is active.",
        needs=("one noise",),
        probe=True,
    ),
    "sharpness": Variable(
        "λ_max(∇²L)",
        "λ_max((1/n) Σ_i ℓ''_i ∇f_i ∇f_iᵀ)",
        "sharpness",
        "Largest eigenvalue of the Hessian of the training loss, away from kinks.",
        needs=("piecewise linear",),
        probe=True,
        recorded="on request",
    ),
    "active_count": Variable(
        "#{r: ⟨w_{j,r}, ξ_i⟩ > 0}",
        "",
        "active filters",
        "Filters of a sign that a sample's noise makes active.",
        ("step", "sign", "sample"),
        needs=("one noise",),
    ),
    "margin": Variable(
        "y_i f(x_i)", "", "margin", "Output times observed label.", ("step", "sample")
    ),
    "signal_coef": Variable(
        "γ_{j,r}",
        "w_{j,r} = w_{j,r}(0) + j γ_{j,r} μ/‖μ‖² + (1/(P−1)) Σ_i ρ_{j,r,i} ξ_i/‖ξ_i‖²",
        "signal coefficient",
        "How far a filter has learned the signal.",
        _FILTER,
        needs=("one signal",),
    ),
    "noise_coef": Variable(
        "ρ_{j,r,i}",
        "w_{j,r} = w_{j,r}(0) + j γ_{j,r} μ/‖μ‖² + (1/(P−1)) Σ_i ρ_{j,r,i} ξ_i/‖ξ_i‖²",
        "noise coefficient",
        "How far a filter has memorised a sample's noise.",
        (*_FILTER, "sample"),
        needs=("one noise",),
    ),
    "coef": Variable(
        "",
        "w_{j,r} = w_{j,r}(0) + Σ_k coef_{j,r,k} v_k",
        "coefficient",
        "Weight of a distinct patch vector v_k in the movement of a filter.",
        (*_FILTER, "vector"),
        needs=("dictionary",),
    ),
    "weights": Variable(
        "W", "", "weights", "The filters themselves.", (*_FILTER, "feature"), needs=("weights",)
    ),
    "initial_share": Variable(
        "a",
        "W = a W(0) + …",
        "share of the initial weights",
        "What weight decay has left of the initial weights: the coefficients are of W − a W(0).",
        recorded="on request",
    ),
    "switching_fraction": Variable(
        "",
        "#{(j, r, k): the sign of ⟨w_{j,r}, v_k⟩ changed in the last tenth of the updates} / (2mq)",
        "switching activations",
        "Share of the overlaps of filters and patches whose sign changed in the last tenth of the "
        "updates: in long training, neurons that stay at the edge of being active.",
        recorded="on request",
    ),
    "updates_made": Variable(
        "",
        "",
        "updates made",
        "Updates before this state: fewer than planned if a condition `until` has ended phases.",
        needs=("conditions",),
        recorded="by studies",
    ),
    "goal_update": Variable(
        "",
        "",
        "update at which a condition was met",
        "Update after which the condition `until` of a phase held, of the last phase it ended.",
        needs=("conditions",),
        recorded="by studies",
    ),
    "exact_updates": Variable(
        "",
        "",
        "updates made one by one",
        "Updates that no stride covers; of gradient flow none is.",
        needs=("strides",),
        recorded="by studies",
    ),
    "strides": Variable(
        "",
        "",
        "strides",
        "Strides of more than one update, and steps of gradient flow.",
        needs=("strides",),
        recorded="by studies",
    ),
    "rejected_strides": Variable(
        "",
        "",
        "strides taken back",
        "Strides that changed a pull too much and were taken back.",
        needs=("strides",),
        recorded="by studies",
    ),
    "stride_error": Variable(
        "",
        "3 max_i |y_i f(x_i) − y_i f̃(x_i)| / max_i |y_i f(x_i)|",
        "estimated error of strides",
        "Three times the largest difference of a margin from a run f̃ with strides twice as long, "
        "over the largest margin: a bound that holds in most runs.",
        needs=("strides",),
        recorded="by studies",
    ),
    "critical_value": Variable(
        "",
        "mean over replicates of the variable = level",
        "critical value",
        "Value of the solved field at which the mean over replicates, or the median, crosses the "
        "level.",
        pooled=True,
        **_SOLVED,
    ),
    "critical_low": Variable(
        "",
        "",
        "lower end of the critical value's interval",
        "Of the 95 % interval over replicates, by Student's t or, of a median, by order "
        "statistics; with the slope it becomes an interval of the solved field.",
        pooled=True,
        **_SOLVED,
    ),
    "critical_high": Variable(
        "",
        "",
        "upper end of the critical value's interval",
        "Of the 95 % interval over replicates, by Student's t or, of a median, by order "
        "statistics; with the slope it becomes an interval of the solved field.",
        pooled=True,
        **_SOLVED,
    ),
    "critical_slope": Variable(
        "",
        "d mean / d x",
        "slope at the critical value",
        "Of the mean over replicates, or the median, for a unit of the solved field x, by a "
        "central difference.",
        pooled=True,
        **_SOLVED,
    ),
    "critical_level": Variable(
        "",
        "",
        "level at the critical value",
        "What the mean crosses there.",
        pooled=True,
        **_SOLVED,
    ),
    "crossing_status": Variable(
        "",
        "",
        "status of the crossing",
        "; ".join(f"{code:d} {text}" for code, text in OUTCOMES.items()),
        pooled=True,
        dtype="int8",
        **_SOLVED,
    ),
    "evaluations": Variable(
        "",
        "",
        "runs of the search",
        "Trajectories that were simulated to find the critical value.",
        pooled=True,
        dtype="int64",
        **_SOLVED,
    ),
    "value_at_critical": Variable(
        "",
        "",
        "value at the critical value",
        "The variable of each replicate at the critical value.",
        **_SOLVED,
    ),
    "slope_at_critical": Variable(
        "",
        "",
        "slope of a replicate at the critical value",
        "As critical_slope, of each replicate.",
        **_SOLVED,
    ),
    "status": Variable(
        "",
        "",
        "status",
        "; ".join(f"{code} {text}" for code, text in STATUS.items()),
        (),
        dtype="int8",
        recorded="always",
    ),
    "status_step": Variable(
        "",
        "",
        "update of the status",
        "Update at which the status was reached; 0 if done.",
        (),
        dtype="int64",
        recorded="always",
    ),
}


def equations(law: type[Data] | None) -> dict[str, str]:
    """Equations of variables that depend on the law of the data, by name."""
    if law is None or not issubclass(law, DrawnData) or not law.one_noise:
        return {}
    signal = "j γ_{j,r} μ/‖μ‖²" if law.one_signal else "Σ_k coef_{j,r,k} v_k"
    noise = f"(1/({law.copies})) Σ_i ρ_{{j,r,i}} ξ_i/‖ξ_i‖²"
    return {"noise_coef": f"w_{{j,r}} = w_{{j,r}}(0) + {signal} + {noise}"}
