import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdshare.errors import UsageError
from gdshare.metrics import (
    SOURCE_TABLE,
    THRESHOLDS,
    Confusion,
    auc,
    best_threshold,
    count,
    harmonic_mean,
)

RATIOS = np.array([0.0, 0.4, 0.9, 0.0, 0.39, 1.0])
INDETERMINATE = np.array([False, False, False, True, False, False])
POSITIVE = np.array([False, True, True, True, False, False])


def test_film_at_the_threshold_is_positive_and_an_indeterminate_film_never_is():
    assert count(RATIOS, INDETERMINATE, POSITIVE, 0.4) == Confusion(2, 1, 2, 1, 1, 0)
    assert count(RATIOS, INDETERMINATE, POSITIVE, 0.0) == Confusion(2, 1, 0, 3, 1, 0)


def test_figures_are_those_of_equations_5_to_7():
    counts = Confusion(tp=8, fn=2, tn=3, fp=1)
    assert counts.sensitivity == 0.8
    assert counts.specificity == 0.75
    assert counts.harmonic_mean == pytest.approx(2 * 0.8 * 0.75 / 1.55)
    assert Confusion(0, 5, 0, 5).harmonic_mean == 0


def test_the_sources_table_obeys_its_equation_7():
    for _, _, sensitivity, specificity, printed in SOURCE_TABLE:
        assert harmonic_mean(sensitivity, specificity) == pytest.approx(printed, abs=1.5e-3)


def test_thresholds_are_twenty_one_steps_of_five_hundredths():
    assert len(THRESHOLDS) == 21
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[-1] == 1
    assert all(t == float(f"{t:.2f}") for t in THRESHOLDS)


def test_best_threshold_is_the_middle_of_several():
    good, bad = Confusion(5, 0, 5, 0), Confusion(1, 4, 5, 0)
    assert best_threshold([bad, good, good, good, bad], (0.0, 0.1, 0.2, 0.3, 0.4)) == 0.2


def test_without_validation_films_there_is_no_threshold():
    with pytest.raises(UsageError, match="validation share"):
        best_threshold([Confusion(0, 0, 0, 0)] * 21)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), min_size=2))
def test_auc_is_the_chance_that_a_positive_ranks_above_a_negative(films):
    ratios = np.array([ratio for ratio, _ in films])
    positive = np.array([truth for _, truth in films])
    pairs = [(a > b) + 0.5 * (a == b) for a in ratios[positive] for b in ratios[~positive]]
    if pairs:
        assert auc(ratios, positive) == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(auc(ratios, positive))
