"""The rivals by name."""

import os
from pathlib import Path
from typing import Literal, get_args

from benchmarks.engine.graph import Graph
from benchmarks.engine.problem import Engine, Problem
from benchmarks.engine.recipe import Recipe
from benchmarks.engine.ssnl import Ssnl
from gdshare.errors import UsageError

Name = Literal[
    "ssnl", "recipe", "graph", "ours", "ours-hard", "ours-f32", "ours-bf16", "ours-recipe"
]
NAMES: tuple[Name, ...] = get_args(Name)

CHECKOUT_VARIABLE = "GDSHARE_SSNL"
"""Environment variable that names the checkout where no option does."""


def make(name: Name, problem: Problem, checkout: Path | None) -> Engine:
    """Set a rival to work on a problem.

    Args:
        name: of the rival.
        problem: what it distils.
        checkout: of ssnl/dataset-distillation; only ``ssnl`` needs it.

    Raises:
        UsageError: no checkout for ``ssnl``, or not one.
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
    # gdshare's engine is imported last and alone, so that a rival runs without it.
    from benchmarks.engine.ours import Ours  # noqa: PLC0415

    return Ours(problem, name)


def checkout_from_environment() -> Path | None:
    """The checkout that the environment names, if any."""
    named = os.environ.get(CHECKOUT_VARIABLE)
    return Path(named) if named else None
