"""A problem laid out for vector lanes, and the arrays that a step writes over."""

from typing import NamedTuple

import numpy as np

from simdyn.kernels.codes import RELU
from simdyn.kernels.compiled import borrowing, inlined, part
from simdyn.kernels.lanes import LANES
from simdyn.kernels.simd import BITS
from simdyn.kernels.structures import Counts, Indices, Matrix, Places, PlaceTable, Vector

# Entries of Workspace.traits: is C about as large as the pulls for all overlaps? Can sums and C be
# taken for all rows at once, for the network is rectified and patches are ± rows? And rows from
# which on none is shown with a negative sign, a multiple of LANES.
EVEN, AT_ONCE, DOWN = range(3)
BLOCKS = 3  # how many blocks of rows the batch reaches, −1: all


class Workspace(NamedTuple):
    """A problem's operator laid out for vector lanes, and arrays that a step writes over.

    Extents: F is 2m, Q and E are q and D, each padded to a multiple of LANES.
    """

    bank: Vector  # j of each filter, (F,)
    gram: Matrix  # G, (Q, Q), or (0, 0) if the dictionary is factored
    rows: Matrix  # V, (Q, E), used if the dictionary is factored
    transposed: Matrix  # Vᵀ, (E, Q)
    coefficients: Matrix  # Cᵀ, (F, Q)
    products: Matrix  # Uᵀ = Cᵀ G, (F, Q)
    perturbed: Matrix  # A'ᵀ, (F, Q)
    inner: Matrix  # Cᵀ V, (F, E)
    marked: Counts  # the bits of entries of C that are not zero, see `simd.mark`
    marked_inner: Counts  # and those of `inner`
    # Patches by slots: first those that show a row with sign +, then with −, (2 Q,)
    slots: PlaceTable  # of the k-th patch of each sample, (K, n)
    times: Matrix  # its multiplicity; 0 if the sample has fewer than k, (K, n)
    shown: Vector  # ± the unit of its row; 0: no sample has this patch
    sums: Vector  # h
    pulls: Vector  # Σ ℓ' y mult
    known: Indices  # room: 1 while h is known
    every_sample: Indices  # 0 … n − 1
    every_block: Places  # 0 … Q/LANES − 1
    some_blocks: Places  # room for those that a batch reaches
    margins: Vector  # y f, (n,)
    slopes: Vector  # ℓ', then times y and share, in the order of the batch, n padded to LANES
    found: Vector  # room for what a probe finds, (3,)
    labels: Vector  # y that the gradient is taken with, (n,)
    total: Matrix  # C summed over the groups of a batch, (F, Q)
    traits: Indices  # (4,)


@borrowing
def pad(size):
    """The next multiple of LANES."""
    return (size + LANES - 1) // LANES * LANES


@part
def zeros(height, width):
    """Zeros (height, width) from a multiple of 64 bytes on, where vectors are read fastest."""
    room = np.zeros(height * width + LANES - 1)
    first = -(room.ctypes.data // 8) % LANES
    return room[first : first + height * width].reshape((height, width))


@part
def padded(array, height, width):
    """An array in the corner of zeros (height, width)."""
    out = zeros(height, width)
    for k in range(array.shape[0]):
        for f in range(array.shape[1]):
            out[k, f] = array[k, f]
    return out


@part
def room_for_marks(height, width):
    """Room for the bits of an array (height, width)."""
    return np.zeros((height, (width + BITS - 1) // BITS), np.int64)


@part
def traits_of(problem):
    """What steps need to know of a problem."""
    traits, table, model = np.zeros(4, np.int64), problem.table, problem.model
    signs, last = True, -1
    for p in range(table.sign.size):
        signs &= abs(table.sign[p]) == 1.0
        if table.sign[p] < 0.0:
            last = max(last, table.row[p])
    traits[EVEN] = 1 if signs and not model.least_slope < 1e-20 else 0
    traits[AT_ONCE] = 1 if signs and model.activation == RELU else 0
    traits[DOWN], traits[BLOCKS] = pad(last + 1), -1
    return traits


@part
def entries_by_number(table, width):
    """Slot and multiplicity of the k-th patch of each sample, (K, n) each.

    A slot is the row of a patch, or that and `width` if it is shown with sign −. A sample with
    fewer patches has its first one again, zero times.
    """
    n, most = table.start.size - 1, 0
    for i in range(n):
        most = max(most, table.start[i + 1] - table.start[i])
    slots, times = np.zeros((most, n), np.uint64), np.zeros((most, n))
    for i in range(n):
        first, count = table.start[i], table.start[i + 1] - table.start[i]
        for k in range(most if count > 0 else 0):
            e = first + (k if k < count else 0)
            p = table.patch[e]
            slots[k, i] = table.row[p] + (width if table.sign[p] < 0.0 else 0)
            times[k, i] = table.multiplicity[e] if k < count else 0.0
    return slots, times


@part
def shown_in(table, width):
    """The sign of each slot that some patch has, else 0."""
    shown = np.zeros(2 * width)
    for p in range(table.row.size):
        shown[table.row[p] + (width if table.sign[p] < 0.0 else 0)] = table.sign[p]
    return shown


@inlined
def new_workspace(problem):
    """Lay out one problem."""
    q, banks = problem.overlaps.shape
    width = pad(q)
    bank = np.zeros(banks)
    for f in range(banks):
        bank[f] = 1.0 if f < banks // 2 else -1.0
    gram, rows = problem.dictionary.gram, problem.dictionary.rows
    height, inner = width, pad(rows.shape[1])
    if gram.size > 0:
        gram, rows, height, inner = padded(gram, width, width), rows[:0], 0, 0
    table, n = problem.table, problem.labels.size
    slots, times = entries_by_number(table, width)
    room, of_slots = zeros(4 * banks, width), zeros(4, width)  # one for many: each takes a while
    return Workspace(
        bank,
        gram,
        padded(rows, height, inner),
        padded(rows.T, inner, width),
        room[:banks],
        room[banks : 2 * banks],
        room[2 * banks : 3 * banks],
        zeros(banks, inner),
        room_for_marks(banks, width),
        room_for_marks(banks, inner),
        slots,
        times,
        shown_in(table, width),
        of_slots[:2].reshape(2 * width),
        of_slots[2:].reshape(2 * width),
        np.zeros(2 * width, np.int64),
        np.arange(n),
        np.arange(width // LANES).astype(np.uint64),
        np.zeros(width // LANES, np.uint64),
        np.zeros(n),
        np.zeros(pad(n)),
        np.zeros(3),
        problem.labels.copy(),
        room[3 * banks :],
        traits_of(problem),
    )


@borrowing
def list_blocks(slots, samples, known, blocks):
    """List the blocks of rows that samples show; returns how many."""
    count = 0
    for i in samples:
        for k in range(slots.shape[0]):
            block = np.int64(slots[k, i]) // LANES % blocks.size
            if known[block] == 0:
                known[block] = 1
                blocks[count] = block
                count += 1
    for index in range(count):
        known[blocks[index]] = 0
    return count


@inlined
def reached(work):
    """The blocks of rows in which C is not zero."""
    count = work.traits[BLOCKS]
    return work.every_block if count < 0 else work.some_blocks[:count]
