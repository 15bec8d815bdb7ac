"""Studies: what is held, swept, recorded and drawn."""

from simdyn.study.core import Study, load_study

__all__ = ["Study", "load_study"]
