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
    samples = np.ones(100)
    assert ranking_interval(1.0, samples, 5).low == pytest.approx(wilson(5, 0).low)
    assert ranking_interval(1.0, samples, 5).low < ranking_interval(1.0, samples, 50).low
    assert ranking_interval(0.0, 1 - samples, 5).high > 0.3
    assert ranking_interval(0.8, np.linspace(0.7, 0.9, 101), 5).low == pytest.approx(0.705)
