from dataclasses import replace

import pytest

from benchmarks.engine.races import COURSES, Evaluation, Finish, Result, Times, smallest_mean, table
from gdshare.errors import RunError

COURSE = replace(COURSES[0], theirs=replace(COURSES[0].theirs, rival="recipe"))


def evaluations(*pairs, deviation=0.0):
    return tuple(Evaluation(seconds, value, deviation) for seconds, value in pairs)


THEIRS = evaluations((0, 0.3), (100, 0.6), (200, 0.8), (300, 0.5))


def result(*ours, seeds=None):
    """Theirs at its best after 200 s; ours as good after so many, or never."""
    finishes = [
        Finish(seed, THEIRS, evaluations((0, 0.3), (10, 0.4), (s or 70.0, 0.9 if s else 0.79)))
        for seed, s in enumerate(ours)
    ]
    return Result(COURSE, seeds or len(ours), tuple(finishes))


def test_target_is_the_best_they_ever_reached_and_ours_counts_from_the_first_time_there():
    finish = Finish(7, THEIRS, evaluations((0, 0.3), (10, 0.7), (20, 0.85), (30, 0.8)))
    assert (finish.target.value, finish.best.value) == (0.8, 0.85)
    assert finish.first(finish.target.value) == Times(200, 20)
    assert finish.ratio == 10


def test_how_long_they_took_to_our_best_is_reported_as_well():
    near = Finish(7, THEIRS, evaluations((0, 0.3), (20, 0.7), (25, 0.6)))
    assert near.first(near.best.value) == Times(200, 20)
    above = Finish(7, THEIRS, evaluations((20, 0.9)))
    assert above.first(above.best.value) == Times(None, 20)
    assert Times(None, 20).ratio is None
    assert "     0.700     20      200   10.0x" in table([Result(COURSE, 1, (near,))])


def test_both_sides_are_asked_when_they_came_within_a_standard_error_of_the_best():
    theirs = evaluations((0, 0.3), (100, 0.78), (200, 0.79), (300, 0.8), deviation=0.1)
    finish = Finish(7, theirs, evaluations((10, 0.7), (20, 0.775)))
    assert finish.error == pytest.approx(0.0316, abs=1e-4)  # of ten θ0
    assert finish.first(finish.target.value - finish.error) == Times(100, 20)
    assert finish.ratio is None
    assert "    0.032      100       20    5.0x" in table([Result(COURSE, 1, (finish,))])


def test_what_the_starting_noise_scores_counts_for_neither_side():
    """A recipe that gets worse from its first step on is not matched after 0 seconds."""
    theirs = evaluations((0, 0.5), (100, 0.4), (200, 0.3))
    finish = Finish(7, theirs, evaluations((0, 0.5), (20, 0.45)))
    assert finish.target.value == 0.4
    assert finish.ratio == 5
    best_at_start = Finish(7, theirs[:2], evaluations((0, 0.5), (20, 0.35)))
    assert best_at_start.best.value == 0.35
    assert best_at_start.first(0.35).ratio == 5


def test_a_run_without_a_score_after_its_start_is_refused():
    for ours in (evaluations((0, 0.5)), ()):
        with pytest.raises(RunError, match="seed 7: a run has no score"):
            table([Result(COURSE, 1, (Finish(7, THEIRS, ours),))])


def test_never_getting_there_is_said_and_leaves_no_mean():
    both = result(50.0, None)
    assert both.finishes[1].ratio is None
    assert both.figures()["ratio_mean"] is None
    assert smallest_mean([both]) is None
    shown = table([both])
    assert "never" in shown
    assert "no mean: 1 of 2 seeds never got there" in shown


def test_seeds_that_are_not_done_leave_no_mean():
    half = result(50.0, seeds=2)
    assert smallest_mean([half, result(20.0)]) is None
    assert "no mean: 1 of 2 seeds are not done" in table([half])


def test_the_one_figure_is_the_smaller_of_the_means():
    assert smallest_mean([result(50.0, 100.0), result(20.0, 20.0)]) == 3.0
    assert result(50.0, 100.0).figures()["ratio_mean"] == 3.0
    assert "mean 3.0x, deviation 1.4 over 2 seeds" in table([result(50.0, 100.0)])


def test_every_evaluation_is_shown_so_that_the_noise_can_be_seen():
    shown = table([result(50.0)])
    assert "every look at recipe: 0.300 (0 s), 0.600 (100 s), 0.800 (200 s), 0.500 (300 s)" in shown
    assert "every look at ours: 0.300 (0 s), 0.400 (10 s), 0.900 (50 s)" in shown
    ours = result(50.0).figures()["seeds"][0]["ours"]
    assert ours[2] == {"cpu_seconds": 50.0, "value": 0.9, "deviation": 0.0}
