from dataclasses import replace

import pytest
import torch

from gdshare.distill.quasi_newton import lbfgs_step
from gdshare.distill.state import initial_state, load_checkpoint, save_checkpoint
from gdshare.distill.unroll import MetaGradient, Unknowns
from gdshare.errors import RunError
from gdshare.method import Settings

SETTINGS = Settings(images=3, seed=1)


def narrow_valley(asked):
    """A quadratic whose curvatures differ a thousandfold; its least value is 0, at 0."""

    def evaluate(unknowns):
        asked.append(unknowns)
        curvature = torch.linspace(0.01, 10, unknowns.images.numel()).view_as(unknowns.images)
        loss = float((curvature * unknowns.images.square()).sum())
        zeros = torch.zeros_like(unknowns.logits), torch.zeros_like(unknowns.rates)
        return MetaGradient(loss, 2 * curvature * unknowns.images, *zeros)

    return evaluate


def steps(state, evaluate, count):
    losses = []
    for _ in range(count):
        state, loss = lbfgs_step(state, evaluate)
        losses.append(loss)
    return state, losses


def test_a_narrow_valley_is_followed_to_its_end():
    asked = []
    state, losses = steps(initial_state(SETTINGS, 8), narrow_valley(asked), 120)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-4 * losses[0]
    assert len(asked) < 150  # no point is asked for twice
    assert state.progress.updates == 120


def test_steps_go_on_from_a_checkpoint_bit_for_bit(tmp_path):
    evaluate = narrow_valley([])
    state, _ = steps(initial_state(SETTINGS, 8), evaluate, 10)
    save_checkpoint(tmp_path, state)
    whole, _ = steps(state, evaluate, 10)
    resumed, _ = steps(load_checkpoint(tmp_path, SETTINGS, 8), evaluate, 10)
    assert torch.equal(whole.unknowns.images, resumed.unknowns.images)


@pytest.mark.parametrize(
    "damage",
    [
        lambda memory: memory.pop("loss"),
        lambda memory: memory.pop("gradient"),
        lambda memory: memory.update(gradient=memory["gradient"][1:]),
        lambda memory: memory.update(d=torch.zeros(3)),
        lambda memory: memory.update(old_dirs=memory["old_dirs"][:, 1:].contiguous()),
        lambda memory: memory.update(ro=memory["ro"][1:]),
        lambda memory: memory.update(ro=torch.zeros(())),
    ],
)
def test_a_memory_that_does_not_fit_is_refused_by_name(tmp_path, damage):
    state, _ = steps(initial_state(SETTINGS, 8), narrow_valley([]), 4)
    memory = dict(state.memory)
    damage(memory)
    save_checkpoint(tmp_path, replace(state, memory=memory))
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: damaged"):
        load_checkpoint(tmp_path, SETTINGS, 8)


def test_a_loss_that_is_not_finite_leaves_the_unknowns_and_counts_as_skipped():
    start = initial_state(SETTINGS, 8)

    def nowhere(unknowns):
        return MetaGradient(float("nan"), *(torch.full_like(t, 1.0) for t in unknowns.tensors()))

    state, _ = lbfgs_step(start, nowhere)
    assert state.unknowns is start.unknowns
    assert (state.progress.skipped, state.progress.skipped_in_a_row) == (1, 1)
    assert not state.memory


def test_a_search_that_found_nothing_starts_again_from_the_gradient():
    start, kink = initial_state(SETTINGS, 8), 1.0

    def stuck(unknowns):
        moved = not torch.equal(unknowns.images, start.unknowns.images)
        gradient = (torch.ones_like(t) for t in unknowns.tensors())
        return MetaGradient(kink + moved, *gradient)

    state, loss = lbfgs_step(replace(start, memory={}), stuck)
    assert loss == kink
    assert set(state.memory) == {"loss", "gradient"}
    assert isinstance(state.unknowns, Unknowns)
