"""Results on disk: the only room that touches Zarr."""

from simdyn.store.differences import study_differences
from simdyn.store.identity import as_stored, open_group, open_study
from simdyn.store.results import check_replaceable, export, open_results, write_dataset
from simdyn.store.store import Store, explain_damaged_blocks

__all__ = [
    "Store",
    "as_stored",
    "check_replaceable",
    "explain_damaged_blocks",
    "export",
    "open_group",
    "open_results",
    "open_study",
    "study_differences",
    "write_dataset",
]
