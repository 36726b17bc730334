"""The rivals by name."""

import os
from pathlib import Path
from typing import Literal

from benchmarks.engine.ours import OurName, Ours
from benchmarks.engine.problem import Engine, Problem
from benchmarks.engine.recipe import Graph, Recipe
from benchmarks.engine.ssnl import Ssnl
from gdshare.errors import UsageError

Name = Literal["ssnl", "recipe", "graph"] | OurName

CHECKOUT_VARIABLE = "GDSHARE_SSNL"
"""Environment variable that names the checkout of ssnl/dataset-distillation without an option."""


def make(name: Name, problem: Problem, checkout: Path | None) -> Engine:
    """Set a rival to work on a problem; ``ssnl`` needs a checkout."""
    if name == "recipe":
        return Recipe(problem)
    if name == "graph":
        return Graph(problem)
    if name != "ssnl":
        return Ours(problem, name)
    return Ssnl(problem, require_checkout(checkout))


def require_checkout(checkout: Path | None) -> Path:
    """Refuse to run their code without it."""
    if checkout is None:
        remedy = f"give it by --ssnl PATH or in {CHECKOUT_VARIABLE}"
        raise UsageError("runs Wang et al.'s own code, so it needs a checkout", "ssnl", remedy)
    return checkout


def checkout_from_environment() -> Path | None:
    """The checkout that the environment names, if any."""
    path = os.environ.get(CHECKOUT_VARIABLE)
    return Path(path) if path else None


def stand_in(checkout: Path | None) -> Literal["ssnl", "recipe"]:
    """Who stands for Wang et al.: their own code, or without a checkout ours of their recipe."""
    return "recipe" if checkout is None else "ssnl"
