"""Frozen, validated parameter classes: data, network, phases of training, record and figures."""

from simdyn.params.crossings import Crossing
from simdyn.params.data import (
    MODELS,
    ClusterData,
    DrawnData,
    IndependentNoiseData,
    MultiViewData,
    SignalNoiseData,
    View,
    XORData,
    check_model,
)
from simdyn.params.figures import CriticalLines, Curves, PhaseDiagram, Trajectories, made_picture
from simdyn.params.images import ImageData
from simdyn.params.network import PIECEWISE_LINEAR, TwoLayerCNN
from simdyn.params.parameters import MAX_DIMENSION, Data, Parameters, Real, described, made
from simdyn.params.phases import OPTIMISERS, SAM, SGD, Phase, Plan, as_plan, check_optimiser
from simdyn.params.picture import PICTURES, Contents, Picture
from simdyn.params.record import Record
from simdyn.params.refinement import Refinement
from simdyn.params.scaling_figure import Collapse

__all__ = [
    "MAX_DIMENSION",
    "MODELS",
    "OPTIMISERS",
    "PICTURES",
    "PIECEWISE_LINEAR",
    "SAM",
    "SGD",
    "ClusterData",
    "Collapse",
    "Contents",
    "CriticalLines",
    "Crossing",
    "Curves",
    "Data",
    "DrawnData",
    "ImageData",
    "IndependentNoiseData",
    "MultiViewData",
    "Parameters",
    "Phase",
    "PhaseDiagram",
    "Picture",
    "Plan",
    "Real",
    "Record",
    "Refinement",
    "SignalNoiseData",
    "Trajectories",
    "TwoLayerCNN",
    "View",
    "XORData",
    "as_plan",
    "check_model",
    "check_optimiser",
    "described",
    "made",
    "made_picture",
]
