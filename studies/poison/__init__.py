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

CHOOSING, REPORTING = 0, 1  # folds: that on which the limits of agreement were chosen, the other


@dataclass(frozen=True)
class Scale:
    plan: Plan  # the honest hospitals'
    seeds: int  # trials of each attack and hospital
    attacks: tuple[str, ...]  # names in ``ATTACKS``


SLOW = Scale(FULL, 2, tuple(ATTACKS))
FAST = Scale(replace(QUICK, phantoms=Phantoms(hospitals=3)), 1, (HONEST, "labels flipped"))


def study(chosen: argparse.Namespace, store: Store) -> Study:
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
    cells = {cell.name: cell for cell in cells_of(plan, hospitals)}
    sites = [one.name for one in hospitals]
    needs = [
        {COHORTS + site: cells[in_fold(fold, "cohort", site)] for site in sites}
        | {IMAGES + site: cells[in_fold(fold, "distil", arm.network, site)] for site in sites}
        for fold in (CHOOSING, REPORTING)
    ]
    last, honest = sites[-1], needs[REPORTING]
    backdoor = Cell(
        in_fold(REPORTING, "backdoor", last),
        KIND,
        plant_backdoor,
        plan.settings_of(arm, last, REPORTING),
        needs={COHORTS + last: honest[COHORTS + last]},
        cpu_seconds=plan.cost(DISTIL_S[arm.network]),
        resumable=True,
    )
    seeds = range(scale.seeds)
    trials = [
        _trial(plan, fold, site, attack, seed, needs[fold])
        for fold in (CHOOSING, REPORTING)
        for seed in seeds
        for attack in scale.attacks
        for site in sites
    ]
    planted = honest | {PLANTED: backdoor}
    trials += [_trial(plan, REPORTING, last, BACKDOOR, seed, planted) for seed in seeds]
    films = [one.films for one in hospitals if one.films]
    return [*films, *(cell for fold in needs for cell in fold.values()), backdoor, *trials]


def _trial(
    plan: Plan, fold: int, site: str, attack: str, seed: int, needs: Mapping[str, Cell]
) -> Cell:
    words = "-".join("".join(c if c.isalnum() else " " for c in attack).split())
    whole, name = fold == REPORTING, in_fold(fold, "poison", site, words, str(seed))
    trial = Trial(fold, site, attack, whole, plan.seed, plan.arms[0].network)
    return Cell(name, KIND, run_trial, trial, seed, needs, plan.cost(14.0 if whole else 1.0))
