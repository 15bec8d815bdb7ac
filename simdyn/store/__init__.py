"""Results on disk: the only room that touches Zarr."""

from simdyn.store.core import Store, as_stored, open_group, open_study, undamaged
from simdyn.store.differences import study_differences
from simdyn.store.results import check_replaceable, export, open_results, write_dataset

__all__ = [
    "Store", "as_stored", "check_replaceable", "export", "open_group", "open_results", "open_study",
    "study_differences", "undamaged", "write_dataset",
]  # fmt: skip
