"""Counts of films in which no cell holds a few: what a node sends, and how a receiver reads it.

Any two counts of one diagnosis that leave a hospital differ by no film or by ``k`` or more, and so
do a count and 0, and a count and all films of that diagnosis. To this end the possible numbers of
films called positive, 0 to all, are cut into *runs* of neighbours, and the first number of the run
stands for each of them (in the last run: all films)::

    20 films, k = 5     called positive   0-4   5-9   10-15   16-20
                        sent as             0     5      10      20

A zero cell looks like one of four films, so a cell that is not sent follows from nothing else in
the answer. A diagnosis of fewer than ``k`` films is not counted at all. With ``k`` = 1 every count
is exact. Noise, if any, was added before (docs/adr/0028-no-cell-of-a-few-films.md).
"""

from dataclasses import dataclass

from gdshare.metrics import Confusion

LARGEST = 1000
"""The largest ``k``."""


@dataclass(frozen=True)
class Run:
    """Neighbouring numbers of films, and the number that is sent for each of them."""

    least: int
    most: int
    sent: int


def run_of(number: int, films: int, k: int) -> Run:
    """The run of a number of films called positive.

    Args:
        number: 0 to ``films``.
        films: of one diagnosis.
        k: films that a cell must hold; two runs that do not fit are one.
    """
    inner = films + 1 - 2 * k  # numbers between the first run and the last
    if inner < 0:
        return Run(0, films, 0)
    if number < k:
        return Run(0, k - 1, 0)
    if number > films - k:
        return Run(films + 1 - k, films, films)
    count = max(1, inner // k)
    place = ((number - k + 1) * count - 1) // inner
    start, end = (k + (place + step) * inner // count for step in (0, 1))
    return Run(start, end - 1, start)


def merged(confusion: Confusion, k: int) -> Confusion:
    """The counts as they are sent."""
    tp, fn, indeterminate_positive = _merged(
        confusion.tp, confusion.fn, confusion.indeterminate_positive, k
    )
    fp, tn, indeterminate_negative = _merged(
        confusion.fp, confusion.tn, confusion.indeterminate_negative, k
    )
    return Confusion(tp, fn, tn, fp, indeterminate_positive, indeterminate_negative)


@dataclass(frozen=True)
class Bounds:
    """All that is known of counts that were sent: the worst and the best that they can stand for.

    Attributes:
        worst: as few films as can be are classified rightly.
        best: as many.
    """

    worst: Confusion
    best: Confusion

    def __add__(self, other: "Bounds") -> "Bounds":
        """What is known of two sites together."""
        return Bounds(self.worst + other.worst, self.best + other.best)

    @property
    def middle(self) -> Confusion:
        """Counts of every film twice, half way between worst and best; the ratios are right."""
        return self.worst + self.best


def bounds(sent: Confusion, k: int) -> Bounds:
    """What the true counts can be.

    Args:
        sent: counts that were merged.
        k: that they were merged by.
    """
    positives, negatives = sent.tp + sent.fn, sent.tn + sent.fp
    p, n = run_of(sent.tp, positives, k), run_of(sent.fp, negatives, k)
    voted_p = run_of(positives - sent.indeterminate_positive, positives, k)
    voted_n = run_of(negatives - sent.indeterminate_negative, negatives, k)
    return Bounds(
        _confusion(positives, p.least, voted_p.least, negatives, n.most, voted_n.most),
        _confusion(positives, p.most, voted_p.most, negatives, n.least, voted_n.least),
    )


def _confusion(
    positives: int, tp: int, voted_p: int, negatives: int, fp: int, voted_n: int
) -> Confusion:
    return Confusion(
        tp, positives - tp, negatives - fp, fp, positives - voted_p, negatives - voted_n
    )


def _merged(called: int, others: int, indeterminate: int, k: int) -> tuple[int, int, int]:
    """Films of one diagnosis: called positive, others, and the indeterminate ones of these."""
    films = called + others
    if films < k:
        return 0, 0, 0
    sent = run_of(called, films, k).sent
    return sent, films - sent, films - run_of(films - indeterminate, films, k).sent
