"""The outer update: clipping, skipping, and Adam as a function from state to state."""

import math

import pytest
import torch

from gdshare.distill.state import initial_state
from gdshare.distill.update import (
    CLIP,
    EMA_DECAY,
    EXPLODED,
    MAX_SPIKE,
    adam_step,
    unclipped_adam_step,
)
from gdshare.method import Settings

SETTINGS = Settings(network="convnet", images=3, epochs=2, steps=2)
RATE = 0.05


def start():
    return initial_state(SETTINGS, 4)


def gradient(norm, seed=0):
    """A random gradient with this norm over all three unknowns together."""
    draws = torch.Generator().manual_seed(seed)
    parts = [torch.randn(t.shape, generator=draws) for t in start().unknowns.tensors()]
    length = math.sqrt(sum(float(part.square().sum()) for part in parts))
    a, b, c = (part * (norm / length) for part in parts)
    return a, b, c


def same(state, other):
    """Whether two states have the same tensors."""
    return all(
        torch.equal(a, b)
        for left, right in (
            (state.unknowns.tensors(), other.unknowns.tensors()),
            (state.first, other.first),
            (state.second, other.second),
        )
        for a, b in zip(left, right, strict=True)
    )


def close(state, other):
    return all(torch.allclose(a, b) for a, b in zip(state.first, other.first, strict=True))


def test_several_steps_are_those_of_torchs_adam():
    state = start()
    tensors = [t.clone().requires_grad_() for t in state.unknowns.tensors()]
    optimiser = torch.optim.Adam(tensors, lr=RATE)
    for step in range(5):
        gradients = gradient(1.0, step)
        for tensor, part in zip(tensors, gradients, strict=True):
            tensor.grad = part.clone()
        optimiser.step()
        state = unclipped_adam_step(state, gradients, RATE)
        for ours, theirs in zip(state.unknowns.tensors(), tensors, strict=True):
            assert torch.equal(ours, theirs)
    assert state.progress.updates == 5


@pytest.mark.parametrize("step", [unclipped_adam_step, adam_step])
def test_state_is_not_modified(step):
    before, state = start(), start()
    step(state, gradient(1.0), RATE)
    assert same(state, before)
    assert state.progress == before.progress


def test_usual_gradients_are_not_clipped_and_count_in_the_mean():
    state = adam_step(start(), gradient(1.0), RATE)
    assert state.progress.norm == pytest.approx(1.0)
    after = adam_step(state, gradient(1.9, 1), RATE)
    assert same(after, unclipped_adam_step(state, gradient(1.9, 1), RATE))
    assert after.progress.norm == pytest.approx(EMA_DECAY * 1.0 + (1 - EMA_DECAY) * 1.9)
    assert after.progress.skipped == 0


def test_gradient_longer_than_twice_the_running_mean_is_clipped_to_that():
    state = adam_step(start(), gradient(1.0), RATE)
    after = adam_step(state, gradient(50.0, 1), RATE)
    assert close(after, unclipped_adam_step(state, gradient(CLIP, 1), RATE))
    assert after.progress.norm == pytest.approx(EMA_DECAY * 1.0 + (1 - EMA_DECAY) * MAX_SPIKE)
    assert (after.progress.updates, after.progress.skipped) == (2, 0)


def test_first_gradient_is_not_clipped():
    state = adam_step(start(), gradient(1e6), RATE)
    assert close(state, unclipped_adam_step(start(), gradient(1e6), RATE))
    assert state.progress.norm == pytest.approx(1e6)


@pytest.mark.parametrize("which", range(3), ids=["images", "labels", "rates"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradient_that_is_not_finite_is_skipped_and_counted(which, bad):
    state = adam_step(start(), gradient(1.0), RATE)
    gradients = gradient(1.0, 1)
    gradients[which].view(-1)[0] = bad
    after = adam_step(state, gradients, RATE)
    assert same(after, state)
    changes = {"skipped": 1, "skipped_in_a_row": 1}
    assert after.progress == state.progress.model_copy(update=changes)


def test_first_gradient_that_was_far_too_short_does_not_skip_all_others():
    state = adam_step(start(), gradient(1e-6), RATE)
    for number in range(1, 20):
        state = adam_step(state, gradient(1e-3, number), RATE)
    assert state.progress.skipped < 10
    assert state.progress.skipped_in_a_row == 0


def test_exploded_gradient_is_skipped_and_hardly_raises_the_mean():
    state = adam_step(start(), gradient(1.0), RATE)
    after = adam_step(state, gradient(1.01 * EXPLODED, 1), RATE)
    assert same(after, state)
    assert after.progress.norm == pytest.approx(EMA_DECAY + (1 - EMA_DECAY) * MAX_SPIKE)
    assert (after.progress.skipped, after.progress.skipped_in_a_row) == (1, 1)


def test_good_gradient_ends_a_row_of_bad_ones_but_not_their_count():
    state = adam_step(start(), gradient(1.0), RATE)
    for _ in range(3):
        state = adam_step(state, gradient(math.inf, 1), RATE)
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (3, 3)
    state = adam_step(state, gradient(1.0, 2), RATE)
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (3, 0)


def test_first_gradient_that_is_not_finite_leaves_the_next_as_the_first():
    state = adam_step(start(), gradient(math.nan), RATE)
    assert state.progress.norm == 0
    assert adam_step(state, gradient(7.0), RATE).progress.norm == pytest.approx(7.0)


def test_zero_gradient_neither_moves_nor_counts_as_bad():
    zero = tuple(torch.zeros_like(t) for t in start().unknowns.tensors())
    state = adam_step(start(), zero, RATE)
    assert state.progress.skipped == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(state.unknowns.tensors(), start().unknowns.tensors(), strict=True)
    )
    assert adam_step(state, gradient(3.0), RATE).progress.norm == pytest.approx(3.0)
