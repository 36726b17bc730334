import numpy as np
import pytest

from gdshare.metrics import Confusion, Interval
from gdshare.proportions import count_intervals, ranking_interval, wilson


def test_interval_contains_the_figure_and_narrows_with_more_films():
    few, many = Confusion(8, 2, 8, 2), Confusion(800, 200, 800, 200)
    widths = []
    for counts in (few, many):
        interval = count_intervals(counts, np.random.default_rng(0)).sensitivity
        assert interval.low <= 0.8 <= interval.high
        widths.append(interval.high - interval.low)
    # A binomial's deviation is sqrt(0.8 * 0.2 / n): 0.126 at 10 films, 0.0126 at 1000.
    assert widths[0] == pytest.approx(2 * 1.96 * 0.126, rel=0.25)
    assert widths[1] == pytest.approx(2 * 1.96 * 0.0126, rel=0.1)


def test_wilsons_interval_is_that_of_the_textbook():
    """Agresti and Coull's example: none of ten, and 81 of 263 (Newcombe 1998, Table I)."""
    assert wilson(0, 10).low == pytest.approx(0.0, abs=1e-12)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=5e-5)
    assert wilson(81, 182) == Interval(
        pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5)
    )


def test_a_share_of_no_film_is_unknown():
    assert wilson(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("counts", [(0, 5, 0, 5), (5, 0, 5, 0), (0, 5, 5, 0), (3, 0, 2, 1)])
def test_no_interval_is_without_width_and_each_holds_its_figure(counts, noise):
    confusion = Confusion(*counts)
    known = count_intervals(confusion, np.random.default_rng(0), noise)
    figures = (confusion.sensitivity, confusion.specificity, confusion.harmonic_mean)
    for figure, interval in zip(
        figures, (known.sensitivity, known.specificity, known.harmonic_mean), strict=True
    ):
        assert interval.low <= figure <= interval.high
        assert interval.high - interval.low > 0.2


def test_wilsons_interval_covers_the_share_it_should():
    generator = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.9):
        right = generator.binomial(20, share, 2000)
        ends = [wilson(int(own), 20 - int(own)) for own in right]
        covered = np.mean([end.low <= share <= end.high for end in ends])
        assert covered > 0.92


def test_a_perfect_ranking_of_few_patients_is_not_certain():
    assert ranking_interval(1.0, 5, 5) == Interval(pytest.approx(0.62, abs=0.1), 1.0)
    assert ranking_interval(1.0, 5, 5).low < ranking_interval(1.0, 50, 50).low
    low = ranking_interval(0.0, 5, 5)
    assert (low.low, low.high) == (0.0, pytest.approx(1 - ranking_interval(1.0, 5, 5).low))


def test_a_better_ranking_has_no_lower_interval():
    lows = [ranking_interval(value, 15, 15).low for value in (0.5, 0.9, 0.98, 0.99, 1.0)]
    assert lows == sorted(lows)


def test_without_a_diagnosis_nothing_is_known_of_a_ranking():
    assert ranking_interval(float("nan"), 0, 7) == Interval(0.0, 1.0)


def test_newcombes_interval_covers_the_area_it_should():
    """Of normal scores, a deviation and a half apart."""
    generator = np.random.default_rng(0)
    area, covered = 0.8556, 0
    for _ in range(1000):
        apart = generator.normal(1.5, 1, 12)[:, None] - generator.normal(0, 1, 12)
        known = ranking_interval(float((apart > 0).mean()), 12, 12)
        covered += known.low <= area <= known.high
    assert covered > 930
