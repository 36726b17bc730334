"""The outer update by L-BFGS (Liu and Nocedal 1989), where every training step sees the same loss.

Heads are judged on the same features at every step, so their outer loss is a plain function of the
unknowns. With its curvature, learned from the last steps, a run arrives in a few hundred steps
where Adam's has not in thousands. The algorithm is torch's, with a line search by Wolfe's
conditions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gdshare.distill.state import LISTS, State
from gdshare.distill.unroll import MetaGradient, Unknowns

HISTORY = 30
"""Steps whose gradients are remembered."""
SEARCH = 25
"""Evaluations of the loss that a step may take at most."""

Evaluate = Callable[[Unknowns], MetaGradient]
"""The outer loss and its derivatives at these unknowns, all on the CPU; the same for the same."""

_COUNTS = ("func_evals", "n_iter")


def lbfgs_step(state: State, evaluate: Evaluate) -> tuple[State, float]:
    """Move the unknowns by one iteration.

    Args:
        state: not modified; its memory is of the iterations before.
        evaluate: asked at points along the iteration's direction.

    Returns:
        the state after it, and the outer loss there. If it ends at a loss that is not finite, the
        unknowns stay where they were, the memory is emptied, and the update counts as skipped.
    """
    before = state.unknowns.tensors()
    tensors = [tensor.clone() for tensor in before]
    optimiser = torch.optim.LBFGS(
        tensors,
        max_iter=1,
        max_eval=SEARCH,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    loss = _Loss(tensors, evaluate)
    memory = dict(state.memory)
    if memory:
        loss.seen.append((_flat(tensors), memory.pop("loss"), memory.pop("gradient")))
    optimiser.state[tensors[0]] = _as_torch_has_it(memory)
    optimiser.step(loss)  # type: ignore[no-untyped-call]
    _, value, gradient = loss.at_point()
    progress = state.progress
    if not isfinite(float(value)):
        changes = {
            "skipped": progress.skipped + 1,
            "skipped_in_a_row": progress.skipped_in_a_row + 1,
        }
        progress = progress.model_copy(update=changes)
        return replace(state, memory={}, progress=progress), float(value)
    changes = {"updates": progress.updates + 1, "skipped_in_a_row": 0}
    # A search that ended where it began would do so again: the next one starts from the gradient.
    moved = any(not torch.equal(a, b) for a, b in zip(tensors, before, strict=True))
    remembered = _as_tensors(optimiser.state[tensors[0]]) if moved else {}
    return (
        replace(
            state,
            unknowns=Unknowns(*tensors),
            memory={**remembered, "loss": value, "gradient": gradient},
            progress=progress.model_copy(update=changes),
        ),
        float(value),
    )


@dataclass
class _Loss:
    """The closure that torch asks. A point that it has seen is not computed again.

    Attributes:
        tensors: that torch moves.
        evaluate: see ``lbfgs_step``.
        seen: (point [n], loss [], gradient [n]).
    """

    tensors: list[Tensor]
    evaluate: Evaluate
    seen: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __call__(self) -> Tensor:
        _, loss, gradient = self.at_point()
        sizes = [tensor.numel() for tensor in self.tensors]
        for tensor, part in zip(self.tensors, torch.split(gradient, sizes), strict=True):
            tensor.grad = part.view_as(tensor)
        return loss

    def at_point(self) -> tuple[Tensor, Tensor, Tensor]:
        """Point, loss and gradient where the tensors are now."""
        point = _flat(self.tensors)
        for known in self.seen:
            if torch.equal(known[0], point):
                return known
        value = self.evaluate(Unknowns(*(tensor.clone() for tensor in self.tensors)))
        self.seen.append((point, torch.tensor(value.loss), _flat(value.tensors())))
        return self.seen[-1]


def _flat(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _as_tensors(own: Mapping[str, Any]) -> dict[str, Tensor]:
    """What torch's optimiser remembers, in a form that a checkpoint can hold."""
    memory: dict[str, Tensor] = {}
    for name, value in own.items():
        if name in LISTS:
            memory[name] = torch.stack(value) if value else torch.empty(0)
        elif isinstance(value, Tensor):
            memory[name] = value.clone()
        elif isinstance(value, int | float):
            memory[name] = torch.tensor(float(value), dtype=torch.float64)
    return memory


def _as_torch_has_it(memory: Mapping[str, Tensor]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for name, value in memory.items():
        if name in LISTS:
            own[name] = list(value.clone())
        elif name in _COUNTS:
            own[name] = int(value)
        else:
            own[name] = float(value) if value.dim() == 0 else value.clone()
    return own
