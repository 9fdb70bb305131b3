"""Cutting a catalog's rows into lots that fit in the memory that a writer has."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

#: Rows that one statement makes or changes, which has them in memory several times over.
ROWS = 100_000


def lots(sizes: npt.NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Begin and end of runs of things of these sizes that come to `most` rows; a larger thing is a run alone."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield begin, end
        begin = end
