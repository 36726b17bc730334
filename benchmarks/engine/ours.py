"""gdshare's own engine as a rival: the one file here that knows its interface."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.engine.problem import MetaGradient, Problem, one_hot
from benchmarks.engine.recipe import RECIPE, raw_rate
from gdshare.distill.chain.network import chain_of
from gdshare.distill.precision import FACTORS, fitting
from gdshare.distill.state import Progress, State
from gdshare.distill.unroll import MetaGradient as Found
from gdshare.distill.unroll import Unknowns, full, labelled
from gdshare.distill.update import moved
from gdshare.distilled import Distilled
from gdshare.method import Settings

OurName = Literal["ours", "ours-hard", "ours-f32", "ours-bf16", "ours-recipe"]


class Ours:
    """What ``gdshare distill`` does, told nothing or told one thing. See ``problem.Engine``.

    ``ours`` is told nothing, ``ours-hard`` is told ``--labels hard``, ``ours-f32`` and
    ``ours-bf16`` are told a ``--precision``. ``ours-recipe`` has the recipe's labels, rates and
    precision, so that its derivatives can be held against the rivals'.
    """

    def __init__(self, problem: Problem, name: OurName = "ours") -> None:
        self._problem = problem
        network: Literal["convnet", "resnet18"] = (
            "convnet" if isinstance(problem.module, nn.Sequential) else "resnet18"
        )
        self._settings = Settings(network=network, outer_steps=problem.outer_steps)
        hard = name in ("ours-hard", "ours-recipe")
        self._targets = one_hot(problem.classes) if hard else torch.empty(0)
        self._chain = chain_of(problem.module, problem.side, _factors(name, network))
        rate = RECIPE.inner_rate if name == "ours-recipe" else self._settings.inner_rate
        unknowns = Unknowns(
            problem.start_images(),
            one_hot(problem.classes) * self._settings.label_scale,
            torch.full((problem.steps,), raw_rate(rate)),
        )
        a, b, c = (torch.zeros_like(tensor) for tensor in unknowns.tensors())
        self._state = State(
            unknowns, (a, b, c), (a.clone(), b.clone(), c.clone()), unknowns, Progress()
        )

    @property
    def done(self) -> int:
        """Training steps done."""
        return self._state.progress.step

    def gradient(self) -> MetaGradient:
        found = self._differentiate()
        return MetaGradient(found.loss, found.images, found.rates)

    def outer_step(self) -> float:
        found, step = self._differentiate(), self.done
        state = moved(self._state, found.tensors(), self._settings.outer_rate_at(step))
        self._advance(state, step + 1)
        return found.loss

    def _differentiate(self) -> Found:
        return full(
            self._chain,
            self._problem.theta0(self.done),
            self._state.unknowns,
            self._targets,
            self._problem.minibatch(self.done),
            self._problem.steps,
        )

    def distilled(self) -> Distilled:
        data = labelled(self._state.unknowns, self._targets, 1)
        images, labels, rates = (
            tensor.float().numpy().copy() for tensor in (data.images, data.labels, data.rates)
        )
        return Distilled(images, labels, rates)

    def tensors(self) -> dict[str, Tensor]:
        groups = (self._state.unknowns.tensors(), self._state.first, self._state.second)
        named = {
            f"{g}.{i}": t.clone() for g, three in enumerate(groups) for i, t in enumerate(three)
        }
        norm = torch.tensor(self._state.progress.norm, dtype=torch.float64)
        return named | {"updates": torch.tensor(self._state.progress.updates), "norm": norm}

    def restore(self, tensors: Mapping[str, Tensor], done: int) -> None:
        (a, b, c), first, second = (
            (tensors[f"{g}.0"], tensors[f"{g}.1"], tensors[f"{g}.2"]) for g in range(3)
        )
        unknowns = Unknowns(a, b, c)
        told = Progress(updates=int(tensors["updates"]), norm=float(tensors["norm"]))
        self._advance(State(unknowns, first, second, unknowns, told), done)

    def _advance(self, state: State, done: int) -> None:
        progress = state.progress.model_copy(update={"step": done})
        self._state = State(state.unknowns, state.first, state.second, state.unknowns, progress)


def _factors(name: OurName, network: str) -> torch.dtype | None:
    """Type that factors are rounded to; None: not at all, float64 included."""
    if name in ("ours-f32", "ours-recipe"):
        return None
    precision = "bfloat16" if name == "ours-bf16" else fitting(network, "cpu")
    return None if precision == "float32" else FACTORS[precision]
