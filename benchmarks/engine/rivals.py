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
"""Environment variable that names the checkout where no option does."""


def make(name: Name, problem: Problem, checkout: Path | None) -> Engine:
    """Set a rival to work on a problem.

    Args:
        name: of the rival.
        problem: what it distils.
        checkout: of ssnl/dataset-distillation; only ``ssnl`` needs it.

    Raises:
        UsageError: ``ssnl`` without a checkout.
    """
    if name == "ssnl":
        if checkout is None:
            raise UsageError(
                "rival ssnl: runs Wang et al.'s own code, so it needs a checkout; give it by "
                f"--ssnl PATH or in {CHECKOUT_VARIABLE}, or take the rival recipe"
            )
        return Ssnl(problem, checkout)
    if name == "recipe":
        return Recipe(problem)
    if name == "graph":
        return Graph(problem)
    return Ours(problem, name)


def checkout_from_environment() -> Path | None:
    """The checkout that the environment names, if any."""
    path = os.environ.get(CHECKOUT_VARIABLE)
    return Path(path) if path else None


def stand_in(checkout: Path | None) -> Literal["ssnl", "recipe"]:
    """Who stands for Wang et al.: their own code, or without a checkout ours of their recipe."""
    return "recipe" if checkout is None else "ssnl"
