import numpy as np
import pytest
import torch
from film_kit import PROTOCOL, small_cohort

from gdshare.errors import CohortError, UsageError
from gdshare.evaluation import FilmVote, cohort_votes, confusions, local_figures
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.networks import build, draw
from gdshare.vote import Votes


def untrained(protocol=PROTOCOL):
    generator = torch.Generator().manual_seed(0)
    return Model("convnet", protocol, (draw("convnet", build("convnet", 16), generator),))


def film(patient, positive, ratio):
    return FilmVote(patient, positive, Votes(5, round(100 * (1 - ratio)), round(100 * ratio)))


def test_every_film_of_the_split_is_classified_and_no_other(tmp_path):
    cohort = small_cohort(tmp_path)
    votes = cohort_votes(untrained(), cohort, "test")
    assert [v.patient for v in votes] == [f.patient for f in cohort.films_of("test")]
    assert all(v.votes.i + v.votes.n + v.votes.p == 49 for v in votes)


def test_model_of_another_protocol_is_refused(tmp_path):
    cohort = small_cohort(tmp_path)
    other = PROTOCOL.model_copy(update={"stride": 4})
    with pytest.raises(UsageError, match="stride 8 instead of 4"):
        cohort_votes(untrained(other), cohort, "test")


def test_split_without_films_is_refused(tmp_path):
    cohort = small_cohort(tmp_path, patients=2)
    with pytest.raises(CohortError, match="no film in the test split"):
        cohort_votes(untrained(), cohort, "test")


def test_counts_at_each_threshold():
    votes = [film("a", True, 0.62), film("b", False, 0.2), FilmVote("c", True, Votes(9, 0, 0))]
    counts = dict(zip(THRESHOLDS, confusions(votes), strict=True))
    assert (counts[0.0].tp, counts[0.0].fn, counts[0.0].tn, counts[0.0].fp) == (1, 1, 0, 1)
    assert (counts[0.6].tp, counts[0.6].fn, counts[0.6].tn, counts[0.6].fp) == (1, 1, 1, 0)
    assert counts[0.65].tp == 0
    assert all(c.indeterminate_positive == 1 for c in counts.values())


def test_more_films_of_the_same_patients_do_not_narrow_the_interval():
    once = [film(f"p{i}", i % 2 == 0, 0.3 + 0.05 * (i % 8)) for i in range(40)]
    often = [v for v in once for _ in range(10)]
    widths = []
    for votes in (once, often):
        figures = local_figures(votes, 0.5, np.random.default_rng(0), resamples=400)
        interval = figures.intervals.sensitivity
        widths.append(interval.high - interval.low)
        assert interval.low <= figures.confusion.sensitivity <= interval.high
        assert figures.auc_interval.low <= figures.auc <= figures.auc_interval.high
    assert widths[1] == pytest.approx(widths[0], rel=0.3)


def test_films_that_are_all_right_leave_room_for_doubt():
    """Whether a patient has a film or several: as much as so many patients can say."""
    once = [film(f"p{i}", i % 2 == 0, 0.1 + 0.8 * (i % 2 == 0)) for i in range(12)]
    for votes in (once, [v for v in once for _ in range(3)]):
        figures = local_figures(votes, 0.5, np.random.default_rng(0), resamples=400)
        assert figures.confusion.harmonic_mean == figures.auc == 1
        intervals = figures.intervals
        for interval in (
            intervals.sensitivity,
            intervals.specificity,
            intervals.harmonic_mean,
            figures.auc_interval,
        ):
            assert 0.5 < interval.low < 0.8
            assert interval.high == pytest.approx(1, abs=0.01)
