# The public names, one list for Python and for type checkers.
from . import plot as plot
from . import theory as theory
from .api.replay import replay as replay
from .api.simulation import simulate as simulate
from .api.study import Study as Study
from .api.study import load_study as load_study
from .api.training import train as train
from .base.inputs import InputError as InputError
from .engine.drawing import draw as draw
from .engine.problems import Problem as Problem
from .engine.weights import initial_weights as initial_weights
from .params import SAM as SAM
from .params import SGD as SGD
from .params import ClusterData as ClusterData
from .params import Crossing as Crossing
from .params import ImageData as ImageData
from .params import IndependentNoiseData as IndependentNoiseData
from .params import MultiViewData as MultiViewData
from .params import Record as Record
from .params import SignalNoiseData as SignalNoiseData
from .params import TwoLayerCNN as TwoLayerCNN
from .params import XORData as XORData
from .store import open_results as open_results
from .theory import analysis as analysis
from .theory.analysis import summary as summary
from .theory.exponents import exponent as exponent
from .theory.scaling_collapse import collapse as collapse

__version__: str
