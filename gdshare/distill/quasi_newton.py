"""The outer update by L-BFGS (Liu and Nocedal 1989), where every training step sees the same loss.

Heads are judged on the same features at every step, so their outer loss is a plain function of the
unknowns. Its curvature, learned from the last steps, takes a run in a few hundred steps where Adam
does not arrive in thousands. The algorithm is torch's, with a line search by Wolfe's conditions.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from gdshare.distill.state import State
from gdshare.distill.unroll import MetaGradient, Unknowns

HISTORY = 30
"""Steps whose gradients are remembered."""

SEARCH = 25
"""Evaluations of the loss that a step may take at most."""

Evaluate = Callable[[Unknowns], MetaGradient]
"""The outer loss and its derivatives at these unknowns; all on the CPU."""


def lbfgs_step(state: State, evaluate: Evaluate) -> tuple[State, float]:
    """Move the unknowns by one iteration of L-BFGS.

    Args:
        state: not modified; its memory is of the iterations before.
        evaluate: must give the same for equal unknowns.

    Returns:
        the state after it, and the outer loss there. Where no finite loss is in reach the unknowns
        stay, the memory is emptied, and the update counts as skipped.
    """
    tensors = [tensor.clone() for tensor in state.unknowns.tensors()]
    optimiser = torch.optim.LBFGS(
        tensors,
        lr=1.0,
        max_iter=1,
        max_eval=SEARCH,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    memory = dict(state.memory)
    evaluated = _Evaluated(tensors, evaluate, memory.pop("loss", None), memory.pop("gradient", None))
    optimiser.state[tensors[0]] = _from_memory(memory)
    optimiser.step(evaluated)
    loss = float(evaluated())
    progress = state.progress
    if not isfinite(loss) or not all(bool(tensor.isfinite().all()) for tensor in tensors):
        skips = progress.skipped + 1, progress.skipped_in_a_row + 1
        changes = dict(zip(("skipped", "skipped_in_a_row"), skips, strict=True))
        return replace(state, memory={}, progress=progress.model_copy(update=changes)), loss
    changes = {"updates": progress.updates + 1, "skipped_in_a_row": 0}
    moved = any(
        not torch.equal(tensor, before)
        for tensor, before in zip(tensors, state.unknowns.tensors(), strict=True)
    )
    # A search that found nothing better would find nothing again: the next step starts afresh.
    memory = (_as_memory(optimiser.state[tensors[0]]) if moved else {}) | evaluated.last()
    return (
        replace(
            state,
            unknowns=Unknowns(*tensors),
            memory=memory,
            progress=progress.model_copy(update=changes),
        ),
        loss,
    )


class _Evaluated:
    """The loss that torch asks for; a point that was seen before is not computed again."""

    def __init__(
        self, tensors: list[Tensor], evaluate: Evaluate, loss: Tensor | None, gradient: Tensor | None
    ) -> None:
        self._tensors, self._evaluate = tensors, evaluate
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []  # point, loss, gradient
        if loss is not None and gradient is not None:
            self._seen.append((_flat(tensors), loss, gradient))

    def __call__(self) -> Tensor:
        point = _flat(self._tensors)
        for seen, loss, gradient in reversed(self._seen):
            if torch.equal(seen, point):
                return self._give(loss, gradient)
        found = self._evaluate(Unknowns(*(tensor.clone() for tensor in self._tensors)))
        loss, gradient = torch.tensor(found.loss), _flat(found.tensors())
        self._seen.append((point, loss, gradient))
        return self._give(loss, gradient)

    def _give(self, loss: Tensor, gradient: Tensor) -> Tensor:
        sizes = [tensor.numel() for tensor in self._tensors]
        for tensor, part in zip(self._tensors, torch.split(gradient, sizes), strict=True):
            tensor.grad = part.view_as(tensor)
        return loss

    def last(self) -> dict[str, Tensor]:
        """Loss and gradient at the current point."""
        loss = self()
        return {"loss": loss, "gradient": _flat([tensor.grad for tensor in self._tensors])}


def _flat(tensors: "tuple[Tensor, ...] | list[Tensor]") -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


_LISTS, _COUNTS = ("old_dirs", "old_stps", "ro"), ("func_evals", "n_iter")


def _as_memory(own: Mapping[str, object]) -> dict[str, Tensor]:
    """What torch's optimiser keeps, as tensors that a checkpoint can hold."""
    memory: dict[str, Tensor] = {}
    for name, value in own.items():
        if name in _LISTS:
            memory[name] = torch.stack(list(value)) if value else torch.empty(0)
        elif isinstance(value, Tensor):
            memory[name] = value.clone()
        elif isinstance(value, int | float):
            memory[name] = torch.tensor(float(value), dtype=torch.float64)
    return memory


def _from_memory(memory: Mapping[str, Tensor]) -> dict[str, object]:
    own: dict[str, object] = {}
    for name, value in memory.items():
        if name in _LISTS:
            own[name] = list(value.clone())
        elif name in _COUNTS:
            own[name] = int(value)
        else:
            own[name] = float(value) if value.dim() == 0 else value.clone()
    return own
