import pytest

from benchmarks.engine.race import COURSES, Result, Score, finish, smallest_mean, table
from gdshare.errors import RunError


def looks(*pairs, deviation=0.0):
    return [Score(seconds, value, deviation) for seconds, value in pairs]


THEIRS = looks((0, 0.3), (100, 0.6), (200, 0.8), (300, 0.5))


def result(*ours):
    """Theirs at its best after 200 s; ours as good after so many, or never."""
    found = [
        finish(seed, THEIRS, looks((0, 0.3), (10, 0.4), (one or 70.0, 0.9 if one else 0.79)))
        for seed, one in enumerate(ours)
    ]
    return Result(COURSES[0], "recipe", tuple(found))


def test_target_is_the_best_they_ever_reached_and_ours_counts_from_the_first_time_there():
    ours = looks((0, 0.3), (10, 0.7), (20, 0.85), (30, 0.8))
    one = finish(7, THEIRS, ours)
    assert (one.target.value, one.best.value) == (0.8, 0.85)
    assert (one.at_their_best.theirs, one.at_their_best.ours) == (200, 20)
    assert one.at_their_best.ratio == 10


def test_how_long_they_took_to_our_best_is_told_as_well():
    near = finish(7, THEIRS, looks((0, 0.3), (20, 0.7), (25, 0.6))).at_our_best
    assert (near.ours, near.theirs, near.ratio) == (20, 200, 10)
    above = finish(7, THEIRS, looks((20, 0.9))).at_our_best
    assert (above.theirs, above.ratio) == (None, None)


def test_both_sides_are_asked_when_they_came_within_a_standard_error_of_the_best():
    theirs = looks((0, 0.3), (100, 0.78), (200, 0.79), (300, 0.8), deviation=0.1)
    one = finish(7, theirs, looks((10, 0.7), (20, 0.775)))
    assert one.target.standard_error == pytest.approx(0.0316, abs=1e-4)  # of ten θ0
    assert (one.near_their_best.theirs, one.near_their_best.ours) == (100, 20)
    assert one.near_their_best.ratio == 5
    assert one.at_their_best.ratio is None


def test_what_the_starting_noise_scores_is_no_merit_of_either_side():
    """A recipe that gets worse from its first step on is not matched after 0 seconds."""
    one = finish(7, looks((0, 0.5), (100, 0.4), (200, 0.3)), looks((0, 0.5), (20, 0.45)))
    assert one.target.value == 0.4
    assert one.at_their_best.ratio == 5
    best_at_start = finish(7, looks((0, 0.5), (100, 0.4)), looks((0, 0.5), (20, 0.35)))
    assert (best_at_start.best.value, best_at_start.at_our_best.ratio) == (0.35, 5)
    assert "seed 7" in table([Result(COURSES[0], "recipe", (best_at_start,))])
    with pytest.raises(RunError, match="no score"):
        finish(7, THEIRS, looks((0, 0.5)))


def test_never_getting_there_is_said_and_leaves_no_mean():
    both = result(50.0, None)
    assert both.finishes[1].at_their_best.ratio is None
    assert both.figures()["ratio_mean"] is None
    assert smallest_mean([both]) is None
    shown = table([both])
    assert "never" in shown
    assert "no mean: 1 of 2 seeds never got there" in shown


def test_the_one_figure_is_the_smaller_of_the_means():
    assert smallest_mean([result(50.0, 100.0), result(20.0, 20.0)]) == 3.0
    assert result(50.0, 100.0).figures()["ratio_mean"] == 3.0
    assert "mean 3.0x, deviation 1.4 over 2 seeds" in table([result(50.0, 100.0)])


def test_every_look_is_shown_so_that_the_noise_can_be_seen():
    shown = table([result(50.0)])
    assert "every look at recipe: 0.300 (0 s), 0.600 (100 s), 0.800 (200 s), 0.500 (300 s)" in shown
    assert "every look at ours: 0.300 (0 s), 0.400 (10 s), 0.900 (50 s)" in shown
    told = result(50.0).figures()["seeds"][0]["looks"]["ours"]
    assert told[2] == {"cpu_seconds": 50.0, "value": 0.9, "deviation": 0.0}


def test_a_run_without_scores_is_refused():
    with pytest.raises(RunError, match="no score"):
        finish(1, THEIRS, [])
