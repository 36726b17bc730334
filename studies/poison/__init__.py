"""What poisoned bundles do to a pooled model, and which of them are found.

Three hospitals' honest bundles are those of ``studies quality``: the same cells, so that study's
folder may be given as ``--out``, and nothing is distilled twice. In each trial one hospital's
bundle is replaced by a poisoned one. The pooled model is judged on test patients, and the
aggregator's own checks look at the three bundles. In full about 75 CPU-minutes, most of it for six
honest distillations and a back door's. ``--quick`` takes under two minutes, on synthetic films, and
its figures say nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from studies.command import Report, Study
from studies.hospitals import Hospital, Phantoms, hospitals_of
from studies.poison.attacks import ATTACKS, BACKDOOR, HONEST
from studies.poison.table import report_of
from studies.poison.trial import PLANTED, Trial, plant_backdoor, run_trial
from studies.quality.networks import COHORTS, IMAGES
from studies.quality.plan import FULL, QUICK, Plan
from studies.quality.schedule import DISTIL_S, cells_of, in_fold
from studies.runner import Cell, Result, Store

KIND = "poison"

CHOOSING, REPORTING = 0, 1
"""Folds: the limits of agreement were chosen on the first, all is reported on the second."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    plan: Plan  # the honest hospitals'
    seeds: int  # trials of each attack and hospital
    attacks: tuple[str, ...]  # names in ``ATTACKS``


SLOW = Scale(FULL, 2, tuple(ATTACKS))
FAST = Scale(replace(QUICK, phantoms=Phantoms(hospitals=3)), 1, (HONEST, "labels flipped"))


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the table of all trials."""
    scale = FAST if chosen.quick else SLOW
    scale = replace(scale, seeds=chosen.seeds or scale.seeds)
    hospitals = hospitals_of(scale.plan.phantoms, chosen.data, store)
    cells = poison_cells(scale, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        trials = [(cell, t) for cell in cells if isinstance(t := cell.parameters, Trial)]
        return report_of(
            [
                {"fold": t.fold, "site": t.site, "attack": t.attack, "seed": cell.seed}
                | results[cell.name].facts
                for cell, t in trials
            ]
        )

    return Study(scale, cells, report)


def poison_cells(scale: Scale, hospitals: Sequence[Hospital]) -> list[Cell]:
    """Films, cohorts and the first arm's distillations of two folds; a back door; trials.

    The back door is the last hospital's.
    """
    plan, arm = scale.plan, scale.plan.arms[0]
    honest = {cell.name: cell for cell in cells_of(plan, hospitals)}
    needs = [
        {COHORTS + one.name: honest[in_fold(fold, "cohort", one.name)] for one in hospitals}
        | {
            IMAGES + one.name: honest[in_fold(fold, "distil", arm.network, one.name)]
            for one in hospitals
        }
        for fold in (CHOOSING, REPORTING)
    ]
    sites = [one.name for one in hospitals]
    name = in_fold(REPORTING, "backdoor", sites[-1])
    settings = plan.settings_of(arm, sites[-1], REPORTING)
    cohort = {COHORTS + sites[-1]: needs[REPORTING][COHORTS + sites[-1]]}
    cost = plan.cost(DISTIL_S[arm.network])
    backdoor = Cell(name, KIND, plant_backdoor, settings, 0, cohort, cost, resumable=True)
    seeds = range(scale.seeds)
    films = [one.films for one in hospitals if one.films]
    return [
        *films,
        *(cell for fold in needs for cell in fold.values()),
        backdoor,
        *(
            _trial(plan, fold, site, attack, seed, needs[fold])
            for fold in (CHOOSING, REPORTING)
            for seed in seeds
            for attack in scale.attacks
            for site in sites
        ),
        *(
            _trial(plan, REPORTING, sites[-1], BACKDOOR, seed, needs[1] | {PLANTED: backdoor})
            for seed in seeds
        ),
    ]


def _trial(
    plan: Plan, fold: int, site: str, attack: str, seed: int, needs: Mapping[str, Cell]
) -> Cell:
    words = "-".join("".join(c if c.isalnum() else " " for c in attack).split())
    whole, name = fold == REPORTING, in_fold(fold, "poison", site, words, str(seed))
    trial = Trial(fold, site, attack, whole, plan.seed, plan.arms[0].network)
    return Cell(name, KIND, run_trial, trial, seed, needs, plan.cost(14.0 if whole else 1.0))
