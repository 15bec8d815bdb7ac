"""Running a study: one block of work, and three ways to have it done."""

from simdyn.kernels.codes import FAILED, MASKED
from simdyn.run.block import run_block
from simdyn.run.progress import Progress, Silent
from simdyn.run.runner import run_study

__all__ = ["FAILED", "MASKED", "Progress", "Silent", "run_block", "run_study"]
