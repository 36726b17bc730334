"""Moving the unknowns: one step of Adam, with bad derivatives left out and large ones shortened.

Meta-gradients have heavy tails: a θ0 on which the inner steps run wild gives one many times as long
as its neighbours. Feng et al. 2023 (RaT-BPTT) clip at a multiple of a running mean of the norm.
"""

from dataclasses import replace
from math import isfinite, sqrt

import torch
from torch import Tensor

from gdshare.distill.state import State
from gdshare.distill.unroll import Unknowns

Triple = tuple[Tensor, Tensor, Tensor]

CLIP = 2.0
"""A derivative longer than this many times the running mean is shortened to that."""
EXPLODED = 100.0
"""One longer than this many times the running mean tells nothing, and is left out."""
EMA_DECAY = 0.9
"""Weight of the past in the running mean."""
MAX_SPIKE = 10.0
"""What one derivative counts for in the running mean at most, in means: a single wild one hardly
moves it, and a first one that was much too short is made good within a few steps."""


def moved(state: State, gradients: Triple, rate: float) -> State:
    """Move the unknowns down their derivatives, or leave them where a derivative is of no use.

    Args:
        state: not modified.
        gradients: by images, logits and rates, on the CPU.
        rate: Adam's learning rate.
    """
    progress = state.progress
    norm = sqrt(sum(float(g.double().square().sum()) for g in gradients))
    mean = progress.norm or norm
    seen = (
        EMA_DECAY * mean + (1 - EMA_DECAY) * min(norm, MAX_SPIKE * mean) if isfinite(norm) else mean
    )
    if not isfinite(norm) or norm > EXPLODED * mean:
        counted = {
            "norm": seen if isfinite(seen) else 0.0,
            "skipped": progress.skipped + 1,
            "skipped_in_a_row": progress.skipped_in_a_row + 1,
        }
        return replace(state, progress=progress.model_copy(update=counted))
    if norm > CLIP * mean:
        a, b, c = (g * (CLIP * mean / norm) for g in gradients)
        gradients = a, b, c
    told = {"norm": seen, "skipped_in_a_row": 0}
    state = adam(state, gradients, rate)
    return replace(state, progress=state.progress.model_copy(update=told))


def adam(state: State, gradients: Triple, rate: float) -> State:
    """One step of torch's Adam on the three unknowns, as a function from state to state.

    The optimiser is made anew around the state's moments each time, so that a state is all there
    is to save. Returns the moved state with its count of updates advanced.
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
