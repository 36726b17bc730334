"""No cell of a few films leaves, neither by itself nor as a difference of counts that do."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdshare.metrics import Confusion
from gdshare.suppression import Bounds, bounds, merged, run_of


@st.composite
def counted(draw: st.DrawFn) -> list[Confusion]:
    """What films can count up to at several thresholds, all of the same films."""
    positives, negatives = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    silent_p, silent_n = draw(st.integers(0, positives)), draw(st.integers(0, negatives))
    falling = st.integers(1, 4).flatmap(
        lambda length: st.lists(st.floats(0, 1), min_size=length, max_size=length)
    )
    shares = sorted(draw(falling), reverse=True)
    called = [
        (round(share * (positives - silent_p)), round(share * (negatives - silent_n)))
        for share in shares
    ]
    return [
        Confusion(tp, positives - tp, negatives - fp, fp, silent_p, silent_n) for tp, fp in called
    ]


@given(counted(), st.integers(1, 12))
def test_every_cell_and_every_difference_holds_no_film_or_enough(
    confusions: list[Confusion], k: int
) -> None:
    sent = [merged(confusion, k) for confusion in confusions]
    for c in sent:
        cells = (c.tp, c.fn, c.tn, c.fp, c.indeterminate_positive, c.indeterminate_negative)
        rest = (c.fn - c.indeterminate_positive, c.tn - c.indeterminate_negative)
        assert all(cell == 0 or cell >= k for cell in (*cells, *rest))
    for lower, higher in pairwise(sent):
        assert all(step == 0 or step >= k for step in (lower.tp - higher.tp, lower.fp - higher.fp))


@given(counted(), st.integers(1, 12))
def test_what_is_sent_tells_what_the_counts_can_be(confusions: list[Confusion], k: int) -> None:
    for exact in confusions:
        known = bounds(merged(exact, k), k)
        if exact.tp + exact.fn >= k:
            assert known.worst.tp <= exact.tp <= known.best.tp
            assert known.best.fn <= exact.fn <= known.worst.fn
            assert (
                known.best.indeterminate_positive
                <= exact.indeterminate_positive
                <= known.worst.indeterminate_positive
            )
        if exact.tn + exact.fp >= k:
            assert known.worst.tn <= exact.tn <= known.best.tn
            assert known.best.fp <= exact.fp <= known.worst.fp
        assert merged(merged(exact, k), k) == merged(exact, k)
        assert bounds(exact, 1) == Bounds(exact, exact), "with k = 1 nothing is lost"


@pytest.mark.parametrize("k", [2, 5, 10])
def test_of_k_counts_in_a_row_all_look_alike_but_where_two_runs_meet(k: int) -> None:
    for films in range(k, 120):
        sent = [run_of(number, films, k).sent for number in range(films + 1)]
        assert len({*sent[:k]}) == len({*sent[-k:]}) == 1, "few films, or nearly all, look alike"
        seen = sum(before != after for before, after in pairwise(sent))
        assert seen <= films // k, "one film more is seen in one case of k, at most"


def test_runs_of_twenty_films() -> None:
    runs = {(run.least, run.most, run.sent) for run in (run_of(n, 20, 5) for n in range(21))}
    assert runs == {(0, 4, 0), (5, 9, 5), (10, 15, 10), (16, 20, 20)}


def test_a_diagnosis_of_a_few_films_is_not_counted_at_all() -> None:
    assert merged(Confusion(3, 1, 5, 1, 1, 0), 5) == Confusion(0, 0, 6, 0, 0, 6)


def test_counts_of_a_billion_films_are_read_at_once() -> None:
    huge = Confusion(10**9 // 3, 10**9 - 10**9 // 3, 0, 0)
    known = bounds(merged(huge, 5), 5)
    assert known.best.tp - known.worst.tp < 10
