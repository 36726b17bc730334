import pytest

from benchmarks.engine.race import (
    COURSES,
    Finish,
    Result,
    Score,
    finish,
    smallest_mean,
    table,
)
from gdshare.errors import RunError

THEIRS = [Score(0, 0.3), Score(100, 0.6), Score(200, 0.8), Score(300, 0.5)]


def result(*ours):
    found = tuple(Finish(seed, 0.8, 200.0, mine, 0.9, 60.0, None) for seed, mine in enumerate(ours))
    return Result(COURSES[0], "recipe", found)


def test_target_is_the_best_they_ever_reached_and_ours_counts_from_the_first_time_there():
    ours = [Score(0, 0.3), Score(10, 0.7), Score(20, 0.85), Score(30, 0.8)]
    one = finish(7, THEIRS, ours)
    assert (one.target, one.theirs, one.ours, one.best) == (0.8, 200, 20, 0.85)
    assert one.ratio == 10


def test_how_long_they_took_to_our_best_is_told_as_well():
    near = finish(7, THEIRS, [Score(0, 0.3), Score(20, 0.7), Score(25, 0.6)])
    assert (near.best, near.best_at, near.matched, near.ratio_back) == (0.7, 20, 200, 10)
    above = finish(7, THEIRS, [Score(20, 0.9)])
    assert (above.matched, above.ratio_back) == (None, None)


def test_never_getting_there_is_said_and_leaves_no_mean():
    one = finish(7, THEIRS, [Score(0, 0.3), Score(10, 0.79)])
    assert one.ours is None
    assert one.ratio is None
    both = result(50.0, None)
    assert both.figures()["ratio_mean"] is None
    assert smallest_mean([both]) is None
    assert "never" in table([both])


def test_the_one_figure_is_the_smaller_of_the_means():
    assert smallest_mean([result(50.0, 100.0), result(20.0, 20.0)]) == 3.0
    assert result(50.0, 100.0).figures()["ratio_mean"] == 3.0


def test_a_run_without_scores_is_refused():
    with pytest.raises(RunError, match="no score"):
        finish(1, THEIRS, [])
