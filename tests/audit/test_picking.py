"""How often a member is picked from a line-up: computed for all line-ups, as if each were held."""

from itertools import combinations

import numpy as np
import pytest

from gdshare.audit.picking import MOST, LineupSize, _interval, lineup_size, pick, pick_chances
from gdshare.audit.rates import Guesses

DRAW = np.random.default_rng


def held_one_by_one(score, others, people):
    """The share of line-ups in which this member is picked, each of them held."""
    shares = []
    for chosen in combinations(others, people - 1):
        best = max((score, *chosen))
        equals = [score, *chosen].count(best)
        shares.append(1 / equals if score == best else 0.0)
    return np.mean(shares)


@pytest.mark.parametrize("people", [2, 3, 5, 8])
@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_share_is_that_of_all_line_ups_held_one_by_one(people, levels):
    draw = DRAW(people * levels)
    members, others = draw.integers(levels, size=6) / 1.0, draw.integers(levels, size=9) / 1.0
    found = pick_chances(members, others, np.ones(9), people)
    expected = [held_one_by_one(score, list(others), people) for score in members]
    assert found == pytest.approx(expected, abs=1e-12)


def test_who_is_left_out_is_in_no_line_up():
    others = np.array([3.0, 1.0, 2.0, 5.0, 0.0])
    weights = np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    found = pick_chances(np.array([2.5]), others, weights, 3)
    assert found == pytest.approx([held_one_by_one(2.5, [3.0, 1.0, 2.0, 0.0], 3)])


@pytest.mark.parametrize("people", [2, 7])
def test_equals_are_picked_as_often_as_each_other(people):
    assert pick_chances(np.zeros(3), np.zeros(20), np.ones(20), people) == (
        pytest.approx(np.full(3, 1 / people))
    )


def guesses(inside, outside, positive=None, first=0):
    scores = np.concatenate([inside, outside])
    member = np.arange(len(scores)) < len(inside)
    diagnosis = np.zeros(len(scores), bool) if positive is None else positive
    return Guesses(scores, member, first + np.arange(len(scores)), diagnosis)


def size_of(board):
    return lineup_size(board.positive, board.member)


@pytest.mark.parametrize(
    ("members", "others", "people"),
    [
        ((51, 51), (17, 17), 5),
        ((51, 51), (60, 60), MOST),
        ((9, 9), (5, 40), 2),
        ((9, 4), (12, 2), 4),
    ],
)
def test_line_up_has_at_most_a_quarter_of_the_others_of_the_smaller_diagnosis(
    members, others, people
):
    """A diagnosis with fewer than five of a kind has no line-ups."""
    positive = np.repeat([False, True, False, True], [*members, *others])
    member = np.arange(len(positive)) < sum(members)
    size = lineup_size(positive, member)
    assert size.people == people
    assert size.diagnoses == ((False, True) if min(*members, *others) >= 5 else (False,))


def test_members_who_stand_out_are_always_picked():
    board = guesses(np.full(12, 9.0) + np.arange(12), DRAW(0).normal(size=20))
    found = pick([board], size_of(board))
    assert (found.share, found.high, found.median_rank) == (1.0, 1.0, 1.0)
    assert 0.75 < found.low < 1.0  # of twelve members
    assert (found.members, found.others) == (12, 20)


def test_members_who_score_lowest_are_never_picked():
    board = guesses(np.full(12, -9.0) + np.arange(12), 9.0 + DRAW(0).normal(size=20))
    found = pick([board], size_of(board))
    assert (found.share, found.low) == (0.0, 0.0)
    assert found.median_rank == size_of(board).people
    assert found.high < 0.25  # of twelve members


def test_members_are_picked_from_others_of_their_diagnosis():
    positive = np.array([True] * 20 + [False] * 20 + [True] * 20 + [False] * 20)
    scores = DRAW(2).normal(size=80) - 9.0 * positive
    board = guesses(scores[:40], scores[40:], positive)
    found = pick([board], size_of(board))
    assert found.low < 1 / size_of(board).people < found.high


def test_line_up_is_held_under_one_set_of_images():
    """Scores under another set lie higher: nobody is compared across sets."""
    inside, outside = DRAW(3).normal(size=10), DRAW(4).normal(size=20)
    single, higher = guesses(inside, outside), guesses(inside + 50.0, outside + 50.0)
    size = size_of(single)
    assert pick([single, higher], size).share == pick([single], size).share
    assert pick([single, higher], size).members == 20


def test_interval_is_over_patients_and_not_over_sets_of_images():
    board = guesses(DRAW(5).normal(1.0, size=20), DRAW(6).normal(size=30))
    size = size_of(board)
    one, four = pick([board], size), pick([board] * 4, size)
    assert four.high - four.low == pytest.approx(one.high - one.low, abs=0.01)


def drawn_board(draw, members, others, shift):
    positive = np.repeat([False, True, False, True], [members, members, others, others])
    inside, outside = draw.normal(shift, 1, 2 * members), draw.normal(0, 1, 2 * others)
    return guesses(inside, outside, positive)


@pytest.mark.parametrize(("members", "others"), [(51, 17), (20, 8), (8, 5)])
def test_interval_of_scores_that_know_nothing_lies_above_chance_seldom(members, others):
    draw = DRAW(members)
    boards = [drawn_board(draw, members, others, 0.0) for _ in range(150)]
    found = [pick([board], size_of(board)) for board in boards]
    chance = 1 / size_of(boards[0]).people
    assert np.mean([own.low > chance for own in found]) <= 0.06
    assert np.mean([own.low <= chance <= own.high for own in found]) >= 0.9
    assert np.mean([own.share for own in found]) == pytest.approx(chance, abs=0.03)


def test_interval_of_scores_that_know_something_holds_the_true_share():
    draw = DRAW(8)
    size = LineupSize(5, (False, True))
    others = draw.normal(size=(200_000, 4)).max(axis=1)
    true = (draw.normal(1.0, 1.0, 200_000) > others).mean()
    found = [pick([drawn_board(draw, 51, 17, 1.0)], size) for _ in range(100)]
    assert np.mean([own.low <= true <= own.high for own in found]) >= 0.87
    assert np.mean([own.low > 1 / 5 for own in found]) > 0.9


def test_share_of_nobody_picked_is_not_known_to_be_nothing():
    """Of five members and five others a share of 0 says little."""
    low, high = _interval(0.0, 0.0, 5)
    assert low == 0.0
    assert high > 0.4
    assert _interval(1.0, 0.0, 5)[0] < 0.6
