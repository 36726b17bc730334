"""The outer update (Eq. 3): a step of Adam, with meta-gradients clipped, or skipped when useless.

Meta-gradients have heavy tails: where the inner steps diverge from some θ0, theirs is many times as
long as the others'. Feng et al. 2023 (RaT-BPTT) clip at a multiple of a running mean of the norm.
"""

from dataclasses import replace
from math import isfinite, sqrt

import torch
from torch import Tensor

from gdshare.distill.state import State
from gdshare.distill.unroll import Unknowns

Triple = tuple[Tensor, Tensor, Tensor]
"""By images [M, 1, side, side], logits [M, classes] and rates [1] or [E * I]."""

CLIP = 2.0
"""Shorten a gradient to CLIP x mean."""
EXPLODED = 100.0
"""Skip a gradient longer than EXPLODED x mean: it says nothing."""
EMA_DECAY = 0.9
"""Weight of the past in the running mean of the gradient norm."""
MAX_SPIKE = 10.0
"""Clamp a gradient norm to MAX_SPIKE x mean before updating the running mean. So one exploded
gradient hardly moves the mean, and a first one that was far too short is outgrown in a few steps.
"""


def adam_step(state: State, gradients: Triple, rate: float) -> State:
    """Move the unknowns down their gradients, or leave them where a gradient is useless.

    Args:
        state: not modified.
        gradients: by images, logits and rates, on the CPU.
        rate: α, Adam's learning rate.
    """
    progress = state.progress
    norm = sqrt(sum(float(g.double().square().sum()) for g in gradients))
    mean = progress.norm or norm
    average = mean
    if isfinite(norm):
        average = EMA_DECAY * mean + (1 - EMA_DECAY) * min(norm, MAX_SPIKE * mean)
    if not isfinite(norm) or norm > EXPLODED * mean:
        changes = {
            "norm": average if isfinite(average) else 0.0,
            "skipped": progress.skipped + 1,
            "skipped_in_a_row": progress.skipped_in_a_row + 1,
        }
        return replace(state, progress=progress.model_copy(update=changes))
    if norm > CLIP * mean:
        a, b, c = (g * (CLIP * mean / norm) for g in gradients)
        gradients = a, b, c
    state = unclipped_adam_step(state, gradients, rate)
    changes = {"norm": average, "skipped_in_a_row": 0}
    return replace(state, progress=state.progress.model_copy(update=changes))


def unclipped_adam_step(state: State, gradients: Triple, rate: float) -> State:
    """One step of torch's Adam on the three unknowns, as a function from state to state.

    A new optimiser is built around the state's moments each time, so that the state is all there is
    to save. The count of updates goes up by one.
    """
    tensors = [tensor.clone() for tensor in state.unknowns.tensors()]
    optimiser = torch.optim.Adam(tensors, lr=rate)
    moments = [(m.clone(), v.clone()) for m, v in zip(state.first, state.second, strict=True)]
    for tensor, gradient, (m, v) in zip(tensors, gradients, moments, strict=True):
        tensor.grad = gradient
        step = torch.tensor(float(state.progress.updates))
        optimiser.state[tensor] = {"step": step, "exp_avg": m, "exp_avg_sq": v}
    optimiser.step()
    (m0, v0), (m1, v1), (m2, v2) = moments
    return replace(
        state,
        unknowns=Unknowns(*tensors),
        first=(m0, m1, m2),
        second=(v0, v1, v2),
        progress=state.progress.model_copy(update={"updates": state.progress.updates + 1}),
    )
