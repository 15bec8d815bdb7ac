"""Running a study: one block of work, and three ways to have it done."""

from simdyn.run.block import FAILED, MASKED, run_block
from simdyn.run.core import run_study
from simdyn.run.progress import Progress, Silent

__all__ = ["FAILED", "MASKED", "Progress", "Silent", "run_block", "run_study"]
