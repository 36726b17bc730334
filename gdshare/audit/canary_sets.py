"""Distillations like the run in which canaries are planted, made and kept as shadows are.

::

    RUN/audit-work/canaries-000.safetensors    from all training patients
    RUN/audit-work/carriers-0.safetensors      a control, from five who all carry a canary

Of a run with a guarantee those with canaries have the same guarantee, and the controls none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from gdshare.audit.canaries import LIST, Planting, draw_few, draw_planting
from gdshare.audit.recipes import FromPatches, Recipe
from gdshare.audit.shadows import Workshop
from gdshare.audit.side_by_side import Step, side_by_side
from gdshare.distilled import Distilled

ATTEMPTS = 4
"""To draw five patients whose windows are of every class, for each set."""


@dataclass(frozen=True)
class Planted:
    """A distillation from windows that carry canaries.

    Attributes:
        planting: who carries which.
        distilled: the result.
    """

    planting: Planting
    distilled: Distilled


@dataclass(frozen=True)
class Sets:
    """What the attacks look at.

    Attributes:
        planted: sets like the run.
        few: the control's.
        nulls: shadows.
    """

    planted: Sequence[Planted]
    few: Sequence[Planted]
    nulls: Sequence[Distilled]


def make_sets(
    workshop: Workshop,
    nulls: Sequence[Distilled],
    counts: tuple[int, int],
    step: Step,
) -> Sets | None:
    """Distil all sets that hold canaries; None where there are too few patients.

    Args:
        workshop, nulls, counts, step: as for ``reconstruct``.
    """
    people, seed = workshop.candidates, workshop.seed
    plantings = [draw_planting(people, seed, number) for number in range(counts[0])]
    every = (draw_few(people, seed, number) for number in range(ATTEMPTS * counts[1]))
    few = [own for own in every if workshop.has_all_classes(own.included)][: counts[1]]
    drawn = [own for own in plantings if own is not None]
    if len(drawn) < len(plantings) or not few:
        return None

    def make(name: str, recipe: Recipe, planting: Planting, step: Step) -> Planted:
        batch = _batch(workshop, planting)
        text = f"{LIST} {batch} {sorted(planting.by_patient.items())}"
        own = replace(workshop, about=hashlib.sha256(workshop.about + text.encode()).digest())
        made = own.kept(name, step)
        if made is None:  # only then are features of changed windows needed
            planted = _batched(recipe.changed(planting.plant), batch)
            made = own.distil(name, planted, planting.included, step)
        return Planted(planting, made)

    like_the_run = [
        partial(make, f"canaries-{n:03}", workshop.recipe, own) for n, own in enumerate(drawn)
    ]
    leaking = [partial(make, f"carriers-{n}", workshop.unguarded, own) for n, own in enumerate(few)]
    made = side_by_side([*like_the_run, *leaking], workshop.places, step)
    return Sets(made[: len(drawn)], made[len(drawn) :], nulls)


def _batched(recipe: Recipe, batch: int) -> Recipe:
    """With another minibatch; a statistic has none."""
    if not isinstance(recipe, FromPatches):
        return recipe
    problem = recipe.problem
    settings = problem.settings.model_copy(update={"batch": batch})
    return FromPatches(replace(problem, settings=settings))


def _batch(workshop: Workshop, planting: Planting) -> int:
    """The run's; fewer where there are fewer windows, which else would be drawn repeatedly."""
    windows = int(planting.included[workshop.candidates.training.films].sum())
    return min(workshop.problem.settings.batch, windows)
