"""The rivals by name, and gdshare's own engine as one: only this file knows its interface."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from benchmarks.engine.recipe import RECIPE, Graph, Recipe, raw_rate
from benchmarks.engine.ssnl import Ssnl
from benchmarks.engine.tasks import Engine, MetaGradient, Problem
from gdshare.distill import unroll
from gdshare.distill.chain.network import chain_of
from gdshare.distill.precision import FACTORS, fastest_precision
from gdshare.distill.state import Progress, State
from gdshare.distill.unroll import Unknowns
from gdshare.distill.update import adam_step
from gdshare.distilled import Distilled
from gdshare.method import Settings

OurName = Literal["ours", "ours-hard", "ours-f32", "ours-bf16", "ours-recipe"]
Name = Literal["ssnl", "recipe", "graph"] | OurName


class Ours:
    """What ``gdshare distill`` does by default or with one option set. See ``tasks.Engine``.

    ``ours-hard`` is ``--labels hard``; ``ours-f32`` and ``ours-bf16`` are a ``--precision``.
    ``ours-recipe`` has the recipe's labels, rates and precision, so that its derivatives can be
    compared with the rivals'.
    """

    def __init__(self, problem: Problem, name: OurName = "ours") -> None:
        self._problem = problem
        network: Literal["convnet", "resnet18"] = (
            "convnet" if isinstance(problem.module, nn.Sequential) else "resnet18"
        )
        self._settings = Settings(network=network, outer_steps=problem.outer_steps)
        hard = name in ("ours-hard", "ours-recipe")
        self._targets = problem.hard_labels() if hard else torch.empty(0)
        self._chain = chain_of(problem.module, problem.side, _factors(name, network))
        rate = RECIPE.inner_rate if name == "ours-recipe" else self._settings.inner_rate
        unknowns = Unknowns(
            problem.start_images(),
            problem.hard_labels() * self._settings.label_scale,
            torch.full((problem.steps,), raw_rate(rate)),
        )
        a, b, c = (torch.zeros_like(tensor) for tensor in unknowns.tensors())
        moments = (a, b, c), (a.clone(), b.clone(), c.clone())
        self._state = State(unknowns, *moments, unknowns, Progress())

    @property
    def done(self) -> int:
        return self._state.progress.step

    def gradient(self) -> MetaGradient:
        gradient = self._gradient()
        return MetaGradient(gradient.loss, gradient.images, gradient.rates)

    def outer_step(self) -> float:
        gradient, step = self._gradient(), self.done
        state = adam_step(self._state, gradient.tensors(), self._settings.outer_rate_at(step))
        progress = state.progress.model_copy(update={"step": step + 1})
        self._state = replace(state, progress=progress)
        return gradient.loss

    def _gradient(self) -> unroll.MetaGradient:
        return unroll.full(
            self._chain,
            self._problem.theta0(self.done),
            self._state.unknowns,
            self._targets,
            self._problem.minibatch(self.done),
            self._problem.steps,
        )

    def distilled(self) -> Distilled:
        data = unroll.constrain(self._state.unknowns, self._targets, 1)
        parts = (data.images, data.labels, data.rates)
        return Distilled(*(part.float().numpy().copy() for part in parts))

    def state(self) -> dict[str, Any]:
        state = self._state
        groups = {"unknowns": state.unknowns.tensors(), "first": state.first}
        return {**groups, "second": state.second, "progress": state.progress.model_dump()}

    def restore(self, state: Mapping[str, Any]) -> None:
        unknowns, progress = Unknowns(*state["unknowns"]), Progress(**state["progress"])
        self._state = State(unknowns, state["first"], state["second"], unknowns, progress)


def _factors(name: OurName, network: str) -> torch.dtype | None:
    """Type that factors are rounded to; None: not at all, float64 included."""
    if name in ("ours-f32", "ours-recipe"):
        return None
    precision = "bfloat16" if name == "ours-bf16" else fastest_precision(network, "cpu")
    return None if precision == "float32" else FACTORS[precision]


def make(name: Name, problem: Problem, checkout: Path | None) -> Engine:
    """Set a rival to work on a problem; ``ssnl`` needs a checkout."""
    if name == "recipe":
        return Recipe(problem)
    if name == "graph":
        return Graph(problem)
    return Ssnl(problem, checkout) if name == "ssnl" else Ours(problem, name)


def stand_in(checkout: Path | None) -> Literal["ssnl", "recipe"]:
    """Who stands for Wang et al.: their own code, or without a checkout ours of their recipe."""
    return "recipe" if checkout is None else "ssnl"
