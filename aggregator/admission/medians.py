"""Each bundle's median over its peers, while peers are set aside one by one.

Sorting every row again after each of them would take N³ steps. Instead each row is sorted once, its
ranks are linked into a list, and a peer is unlinked from it: the median stays where it is or moves
to a neighbour. All rows at once, so that setting one peer aside takes N steps.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]


class PeerMedians:
    """Medians of the rows of a matrix over the columns that are left, each row's own left out.

    Ranks run from 1, in each row's own order; 0 and n + 1 are the ends of the linked lists.
    """

    def __init__(self, values: Floats) -> None:
        """Sort each row.

        Args:
            values: float64 [n, n], finite, n at least 2; the diagonal is not read.
        """
        n = len(values)
        others = values.copy()
        np.fill_diagonal(others, np.inf)  # sorted behind all peers, and never reached
        order = np.argsort(others, axis=1, kind="stable")
        self._values = np.take_along_axis(others, order, axis=1)  # [n, n], by rank - 1
        self._rank: Places = np.empty((n, n), np.int32)
        ranks = np.broadcast_to(np.arange(1, n + 1, dtype=np.int32), (n, n))
        np.put_along_axis(self._rank, order, ranks, axis=1)
        steps = np.arange(n + 2, dtype=np.int32)
        self._before: Places = np.tile(steps - 1, (n, 1))
        self._after: Places = np.tile(steps + 1, (n, 1))
        self._peers = n - 1
        self._lower: Places = np.full(n, (self._peers - 1) // 2 + 1, np.int32)

    def medians(self, rows: npt.NDArray[np.intp]) -> Floats:
        """The medians of rows that are left: float64 [rows]."""
        lower = self._lower[rows]
        values = self._values[rows, lower - 1]
        if self._peers % 2 == 0:
            upper = self._after[rows, lower]
            values = (values + self._values[rows, upper - 1]) / 2
        return values

    def set_aside(self, column: int, rows: npt.NDArray[np.intp]) -> None:
        """Take a column out.

        Args:
            column: that was left until now, among at least three.
            rows: those that are left, without it.
        """
        removed, lower = self._rank[rows, column], self._lower[rows]
        if self._peers % 2:  # the middle one gives way to the lower of two
            moved = np.where(removed < lower, lower, self._before[rows, lower])
        else:  # the lower of two gives way to the middle one
            moved = np.where(removed > lower, lower, self._after[rows, lower])
        self._lower[rows] = moved
        before, after = self._before[rows, removed], self._after[rows, removed]
        self._after[rows, before] = after
        self._before[rows, after] = before
        self._peers -= 1
