"""Frozen, validated parameter classes: data, network, phases of training, record and figures."""

from simdyn.params.base import MAX_DIMENSION, Parameters, Real, described, made
from simdyn.params.model import PIECEWISE_LINEAR, SignalNoiseData, TwoLayerCNN
from simdyn.params.picture import Curves, PhaseDiagram, Picture, Trajectories, made_picture
from simdyn.params.plan import OPTIMISERS, SAM, SGD, Phase, Plan, as_plan, check_optimiser
from simdyn.params.record import Record

__all__ = [
    "MAX_DIMENSION", "OPTIMISERS", "PIECEWISE_LINEAR", "SAM", "SGD", "Curves",
    "Parameters", "Phase", "PhaseDiagram", "Picture", "Plan", "Real", "Record", "SignalNoiseData",
    "Trajectories", "TwoLayerCNN", "as_plan", "check_optimiser", "described", "made",
    "made_picture",
]  # fmt: skip
