"""Moving the unknowns: clipping, leaving out, and Adam as a function from state to state."""

import math

import pytest
import torch

from gdshare.distill.state import initial_state
from gdshare.distill.update import CLIP, EMA_DECAY, EXPLODED, MAX_SPIKE, adam, moved
from gdshare.method import Settings

SETTINGS = Settings(images=3, epochs=2, steps=2)
RATE = 0.05


def start():
    return initial_state(SETTINGS, 4)


def derivative(norm, seed=0):
    """Of the three unknowns, random, with this norm over all three together."""
    draws = torch.Generator().manual_seed(seed)
    parts = [torch.randn(t.shape, generator=draws) for t in start().unknowns.tensors()]
    length = math.sqrt(sum(float(part.square().sum()) for part in parts))
    a, b, c = (part * (norm / length) for part in parts)
    return a, b, c


def same(one, other):
    """Whether two states hold the same tensors."""
    return all(
        torch.equal(a, b)
        for left, right in (
            (one.unknowns.tensors(), other.unknowns.tensors()),
            (one.first, other.first),
            (one.second, other.second),
        )
        for a, b in zip(left, right, strict=True)
    )


def close(one, other):
    return all(torch.allclose(a, b) for a, b in zip(one.first, other.first, strict=True))


def test_several_steps_are_those_of_torchs_adam():
    state = start()
    tensors = [t.clone().requires_grad_() for t in state.unknowns.tensors()]
    optimiser = torch.optim.Adam(tensors, lr=RATE)
    for step in range(5):
        gradients = derivative(1.0, step)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = gradient.clone()
        optimiser.step()
        state = adam(state, gradients, RATE)
        for ours, theirs in zip(state.unknowns.tensors(), tensors, strict=True):
            assert torch.equal(ours, theirs)
    assert state.progress.updates == 5


@pytest.mark.parametrize("step", [adam, moved])
def test_state_is_left_as_it_was(step):
    before, given = start(), start()
    step(given, derivative(1.0), RATE)
    assert same(given, before)
    assert given.progress == before.progress


def test_usual_derivatives_move_the_unknowns_as_they_are_and_are_remembered():
    state = moved(start(), derivative(1.0), RATE)
    assert state.progress.norm == pytest.approx(1.0)
    after = moved(state, derivative(1.9, 1), RATE)
    assert same(after, adam(state, derivative(1.9, 1), RATE))
    assert after.progress.norm == pytest.approx(EMA_DECAY * 1.0 + (1 - EMA_DECAY) * 1.9)
    assert after.progress.skipped == 0


def test_derivative_longer_than_twice_the_running_mean_is_shortened_to_that():
    state = moved(start(), derivative(1.0), RATE)
    after = moved(state, derivative(50.0, 1), RATE)
    assert close(after, adam(state, derivative(CLIP, 1), RATE))
    assert after.progress.norm == pytest.approx(EMA_DECAY * 1.0 + (1 - EMA_DECAY) * MAX_SPIKE)
    assert (after.progress.updates, after.progress.skipped) == (2, 0)


def test_first_derivative_has_no_mean_to_be_held_against():
    state = moved(start(), derivative(1e6), RATE)
    assert close(state, adam(start(), derivative(1e6), RATE))
    assert state.progress.norm == pytest.approx(1e6)


@pytest.mark.parametrize("which", range(3), ids=["images", "labels", "rates"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_derivative_that_is_not_finite_is_left_out_and_counted(which, bad):
    state = moved(start(), derivative(1.0), RATE)
    gradients = derivative(1.0, 1)
    gradients[which].view(-1)[0] = bad
    after = moved(state, gradients, RATE)
    assert same(after, state)
    counted = {"skipped": 1, "skipped_in_a_row": 1}
    assert after.progress == state.progress.model_copy(update=counted)


def test_first_derivative_that_was_far_too_short_does_not_shut_out_all_others():
    state = moved(start(), derivative(1e-6), RATE)
    for number in range(1, 20):
        state = moved(state, derivative(1e-3, number), RATE)
    assert state.progress.skipped < 10
    assert state.progress.skipped_in_a_row == 0


def test_derivative_that_exploded_is_left_out_and_hardly_raises_the_mean():
    state = moved(start(), derivative(1.0), RATE)
    after = moved(state, derivative(1.01 * EXPLODED, 1), RATE)
    assert same(after, state)
    assert after.progress.norm == pytest.approx(EMA_DECAY + (1 - EMA_DECAY) * MAX_SPIKE)
    assert (after.progress.skipped, after.progress.skipped_in_a_row) == (1, 1)


def test_good_derivative_ends_a_row_of_bad_ones_but_not_their_count():
    state = moved(start(), derivative(1.0), RATE)
    for _ in range(3):
        state = moved(state, derivative(math.inf, 1), RATE)
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (3, 3)
    state = moved(state, derivative(1.0, 2), RATE)
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (3, 0)


def test_not_finite_from_the_first_leaves_the_next_one_as_the_first():
    state = moved(start(), derivative(math.nan), RATE)
    assert state.progress.norm == 0
    assert moved(state, derivative(7.0), RATE).progress.norm == pytest.approx(7.0)


def test_no_derivative_at_all_neither_moves_nor_counts_as_bad():
    nothing = tuple(torch.zeros_like(t) for t in start().unknowns.tensors())
    state = moved(start(), nothing, RATE)
    assert state.progress.skipped == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(state.unknowns.tensors(), start().unknowns.tensors(), strict=True)
    )
    assert moved(state, derivative(3.0), RATE).progress.norm == pytest.approx(3.0)
