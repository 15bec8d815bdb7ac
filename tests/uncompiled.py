"""Kernels as plain Python: what only the compiler can run, written out in NumPy.

With NUMBA_DISABLE_JIT=1 in the environment, `replace_intrinsics()` makes every kernel run
uncompiled: slow, but at once after an edit. `conftest.py` calls it then. Integers of the random
generator overflow on purpose, of which NumPy warns.
"""

import importlib
import pkgutil

import numpy as np

import simdyn.kernels
from simdyn.engine import preparation
from simdyn.kernels import compiled, random


def rectified_sums(overlaps: np.ndarray, down: int, blocks: np.ndarray, sums: np.ndarray) -> None:
    filters, rows = overlaps.shape
    for side, first in ((overlaps, 0), (-overlaps[:, :down], rows)):
        above = np.maximum(side, 0.0)
        sums[first : first + side.shape[1]] = above[: filters // 2].sum(axis=0) - above[
            filters // 2 :
        ].sum(axis=0)


def in_blocks(array: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Which columns of an array are those of listed blocks."""
    return np.isin(np.arange(array.shape[1]) // 8, blocks)


def pull_active(
    overlaps: np.ndarray,
    down: int,
    pulls: np.ndarray,
    lift: float,
    blocks: np.ndarray,
    out: np.ndarray,
    bits: np.ndarray,
) -> None:
    filters, rows = overlaps.shape
    below = np.where(np.arange(rows) < down, -lift * pulls[rows:], 0.0)
    bank = np.where(np.arange(filters) < filters // 2, 1.0, -1.0)[:, None]
    rest = np.where(overlaps < 0.0, bank * below, 0.0)
    found, some = (
        np.where(overlaps > 0.0, bank * (lift * pulls[:rows]), rest),
        in_blocks(out, blocks),
    )
    out[:, some] = found[:, some]
    mark(np.where(some, found, 0.0), bits)


def mark(array: np.ndarray, bits: np.ndarray) -> None:
    filters, rows = array.shape
    some = np.zeros((filters, 64 * bits.shape[1]), np.uint8)
    some[:, :rows] = array != 0.0
    bits[:] = np.packbits(some, axis=1, bitorder="little").view(np.int64)


def sparse_product(
    array: np.ndarray, bits: np.ndarray, matrix: np.ndarray, out: np.ndarray
) -> None:
    marked = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
    rows = matrix.shape[0]
    out[:] = np.where(marked[:, :rows], array[:, :rows], 0.0) @ matrix


def flat_dot(a: np.ndarray, b: np.ndarray, blocks: np.ndarray) -> float:
    return float((a * b)[:, in_blocks(a, blocks)].sum())


def largest_entry(array: np.ndarray) -> float:
    return float(np.abs(array).max())


def add_scaled(target: np.ndarray, source: np.ndarray, factor: float) -> None:
    target += factor * source


def add_scaled_blocks(
    target: np.ndarray, source: np.ndarray, factor: float, blocks: np.ndarray
) -> None:
    target += np.where(in_blocks(target, blocks), factor * source, 0.0)


def shifted(start: np.ndarray, source: np.ndarray, factor: float, out: np.ndarray) -> None:
    out[:] = start + factor * source


def to_logistic_slopes(margins: np.ndarray, count: int) -> None:
    decay = np.exp(-np.abs(margins[:count]))
    margins[:count] = -np.where(margins[:count] >= 0.0, decay, 1.0) / (1.0 + decay)


def find_kinks(
    slopes: np.ndarray,
    direction: np.ndarray,
    base: np.ndarray,
    start: np.ndarray,
    kinks: np.ndarray,
    steps: np.ndarray,
    first: np.ndarray,
) -> None:
    slope, towards = slopes[:, None], direction[:, None]
    found = -base / towards
    on = np.where(towards == 0.0, base > 0.0, (found <= start) == (towards > 0.0))
    kinks[:] = np.where((towards != 0.0) & (found > start), found, np.inf)
    steps[:] = np.where(towards > 0.0, slope, -slope) * base
    first[0], first[1] = (on * slope * base).sum(axis=0), (on * slope * towards).sum(axis=0)
    first[2], first[3] = on.sum(axis=0), ~np.isfinite(base).all(axis=0)


def rank(kinks: np.ndarray, place: np.ndarray) -> None:
    place[:] = kinks.argsort(axis=0, kind="stable").argsort(axis=0)


def find_edges(
    offset: float,
    start: np.ndarray,
    first: np.ndarray,
    ordered: np.ndarray,
    edges: np.ndarray,
    found: np.ndarray,
) -> None:
    (level, rise, active, apart), low = first.copy(), start
    kinks, steps, rises, turns = ordered
    failing, found[:] = np.zeros(start.size, bool), 0.0
    for k, high in enumerate(kinks):
        level, rise = np.where(active == 0.0, 0.0, level), np.where(active == 0.0, 0.0, rise)
        value, flat = offset + level, rise == 0.0
        root = np.where(flat, high, np.fmin(np.fmax(-value / rise, low), high))
        left = np.where(flat, value < 0.0, rise > 0.0)
        turn = np.where(left, failing != (root > low), failing & (root > low))
        inside = failing != turn
        back = (root < high) & np.where(left, root > low, ~flat & ~inside)
        edges[2 * k], edges[2 * k + 1] = np.where(turn, low, np.nan), np.where(back, root, np.nan)
        failing, found[0] = inside != back, found[0] + turn + back
        apart = (apart > 0) | (flat & (value == 0.0) & (high > low)) | ~np.isfinite(value)
        level, rise, active, low = level + steps[k], rise + rises[k], active + turns[k], high
    found[1] = apart


def normals_of_row(
    seed: np.uint64, replicate: np.uint64, purpose: np.uint64, row: np.uint64, out: np.ndarray
) -> None:
    stream = random.Stream(seed, replicate)
    for start in range(0, out.size, 4):
        words = random.block(stream, purpose, row, start // 4)
        drawn = *random.to_normals(*words[:2]), *random.to_normals(*words[2:])
        out[start : start + 4] = drawn[: out.size - start]


def write_inner_products(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    out[:] = a @ b.T


def reflect(
    columns: np.ndarray, first: int, normal: np.ndarray, beta: float, along: np.ndarray
) -> None:
    along[:] = -beta * (normal[first:] @ columns[first:])
    columns[first:] += np.outer(normal[first:], along)


def _atomic_load(flag: np.ndarray) -> bool:
    return bool(flag[0] != 0)


def replace_intrinsics() -> None:
    """Put these functions in the place of all intrinsics, and kernels in that of pointers."""
    compiled.Pointed.__call__ = lambda self: self.function  # type: ignore[method-assign]
    preparation.kernels_kept = lambda: True  # nothing is to be compiled
    for found in pkgutil.iter_modules(simdyn.kernels.__path__):
        module = importlib.import_module(f"simdyn.kernels.{found.name}")
        for name, value in vars(module).items():
            if type(value).__name__ == "_Intrinsic":
                setattr(module, name, globals()[name])
