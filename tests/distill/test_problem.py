"""Every draw is a function of the seed and a counter."""

import itertools

import torch
from run_kit import settings

from gdshare.distill.problem import prepare


def test_announced_theta0_is_the_same_at_every_step_and_named_in_the_record(cohort, tmp_path):
    problem = prepare(cohort, settings(theta0="announced", theta0_number=7, seed=1), "cpu")
    other = prepare(cohort, settings(theta0="announced", theta0_number=7, seed=2), "cpu")
    another = prepare(cohort, settings(theta0="announced", theta0_number=8), "cpu")
    first, later, elsewhere, different = (
        problem.draw(0, 0).theta0,
        problem.draw(3, 0).theta0,
        other.draw(0, 0).theta0,
        another.draw(0, 0).theta0,
    )
    weight = "0.weight"
    assert torch.equal(first[weight], later[weight])
    assert torch.equal(first[weight], elsewhere[weight]), "public: the seed does not matter"
    assert not torch.equal(first[weight], different[weight])
    assert problem.theta0_sha256 == other.theta0_sha256
    assert problem.theta0_sha256 != another.theta0_sha256


def test_no_two_draws_share_their_theta0_or_minibatch(cohort):
    problem = prepare(cohort, settings(draws=2), "cpu")
    draws = [problem.draw(step, number) for step in range(2) for number in range(2)]
    for first, other in itertools.combinations(draws, 2):
        assert not torch.equal(first.theta0["0.weight"], other.theta0["0.weight"])
        assert not torch.equal(first.real[0], other.real[0])


def test_about_half_of_the_minibatches_are_mirrored_and_nothing_else_changes(cohort):
    plain = prepare(cohort, settings(), "cpu")
    mirrored = prepare(cohort, settings(augment="mirror"), "cpu")
    flipped = 0
    for step in range(20):
        (x, y), (other_x, other_y) = plain.draw(step, 0).real, mirrored.draw(step, 0).real
        is_flipped = torch.equal(other_x, x.flip(-1))
        assert is_flipped or torch.equal(other_x, x)
        assert torch.equal(y, other_y)
        flipped += is_flipped
    assert 4 < flipped < 16


def test_window_ends_anywhere_from_its_length_to_the_whole_trajectory(cohort):
    problem = prepare(cohort, settings(unroll="window", window=2), "cpu")
    assert {problem.draw(step, 0).stop for step in range(30)} == {2, 3, 4}
    longer = prepare(cohort, settings(unroll="window", window=9), "cpu")
    assert {longer.draw(step, 0).stop for step in range(5)} == {4}
