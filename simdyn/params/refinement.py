"""Which points of a study are interpolated instead of simulated."""

from simdyn.params.parameters import Integer, Parameters, Real, described, integer

DEEPEST = 10


class Refinement(Parameters):
    """A grid of which only the interesting part is simulated.

    The grid is cut into tiles of 2^depth by 2^depth points. Of each tile the corners are simulated.
    A cell between simulated corners is halved along each refined axis if the mean over replicates
    of the variable passes a level between its corners, or differs by more than `step` among them,
    or if a corner is masked or has runs that did not finish. In cells that are not halved all
    variables are interpolated, linearly along each axis, or along its logarithm if its values are
    spaced by a constant factor. Each method has its own cells.

    Parameters
    ----------
    variable : str
        A recorded number; the last state counts.
    levels : tuple of float
        Levels of its mean.
    depth : int, 1 to 10
        Halvings of a tile, down to neighbouring points.
    step : float > 0, optional
        The largest difference between corners of a cell that is interpolated; any if absent.
    over : tuple of str, optional
        Axes that are refined: numbers with three or more values. All such axes if absent.
    """

    variable: str = described("test_error", "", "variable", "the name of a recorded number")
    levels: tuple[Real, ...] = described(
        (0.1,), "", "levels", "a list of one or more finite numbers", min_length=1
    )
    depth: Integer = integer(3, "", "halvings", 1, DEEPEST)
    step: Real | None = described(None, "", "largest difference", "a number above 0", gt=0)
    over: tuple[str, ...] | None = described(
        None, "", "refined axes", "a list of swept names with numbers", min_length=1
    )
