"""What poisoned bundles do to a pooled model, and which of them are found.

Three hospitals' honest bundles are those of ``studies quality``: the same cells, so that study's
folder may be given as ``--out``, and nothing is distilled twice. In each trial one hospital's
bundle is replaced by a poisoned one. The pooled model is judged on test patients, and the
aggregator's own checks look at the three bundles. In full about 75 CPU-minutes, most of it for six
honest distillations and a back door's. ``--quick`` takes under two minutes, on synthetic films, and
its figures say nothing::

    OUT/fold-0/poison-SITE-ATTACK-SEED    agreement alone: its limits were chosen there
    OUT/fold-1/poison-SITE-ATTACK-SEED    everything: what is reported
    OUT/fold-1/backdoor-SITE/run          distilled from patches of which some bear a marker
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studies.command import Report, Study, require_all
from studies.hospitals import NAMES, Hospital, Phantoms, phantom_hospitals, real_hospital
from studies.poison.attacks import ATTACKS, BACKDOOR, HONEST
from studies.poison.table import report_of
from studies.poison.trial import PLANTED, Trial, plant_backdoor, run_trial
from studies.quality.distilled import COHORTS, IMAGES
from studies.quality.plan import FULL, QUICK, Plan
from studies.quality.schedule import DISTIL_S, cells_of, in_fold
from studies.runner import Cell, Result, Store

KIND = "poison"
KINDS = ("cohorts", "distil", KIND)
QUICK_HELP = "a tiny plan on synthetic films"
DATA, DATA_HELP = Path("../shared/data"), "folder that holds tb_cxr"

CHOOSING, REPORTING = 0, 1
"""Folds: the limits of agreement were chosen on the first, all is reported on the second."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    plan: Plan  # the honest hospitals'
    seeds: int  # trials of each attack and hospital
    attacks: tuple[str, ...]  # names in ``ATTACKS``
    planters: int  # how many hospitals distil a back door as well, the last ones


SLOW = Scale(FULL, 2, tuple(ATTACKS), 1)
FAST = Scale(replace(QUICK, phantoms=Phantoms(hospitals=3)), 1, (HONEST, "labels flipped"), 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """It takes no other options."""


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the table of all trials.

    Raises:
        UsageError: the films are not there.
    """
    scale = FAST if chosen.quick else SLOW
    if scale.plan.phantoms:
        hospitals = phantom_hospitals(scale.plan.phantoms, store)
    else:
        hospitals = tuple(real_hospital(chosen.data / "tb_cxr", name) for name in NAMES)
    cells = poison_cells(scale, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        require_all(cells, results)
        return report_of(
            [
                {"fold": t.fold, "site": t.site, "attack": t.attack, "seed": cell.seed}
                | results[cell.name].facts
                for cell in cells
                if isinstance(t := cell.parameters, Trial)
            ]
        )

    return Study(cells, report)


def poison_cells(scale: Scale, hospitals: Sequence[Hospital]) -> list[Cell]:
    """Films, cohorts and the first arm's distillations of two folds; back doors; trials."""
    network = scale.plan.arms[0].network
    folds = (CHOOSING, REPORTING)
    honest = {cell.name: cell for cell in cells_of(scale.plan, hospitals)}
    cells = [one.films for one in hospitals if one.films]
    needs: dict[int, dict[str, Cell]] = {fold: {} for fold in folds}
    for fold in folds:
        for role, words in ((COHORTS, ("cohort",)), (IMAGES, ("distil", network))):
            for one in hospitals:
                cell = honest[in_fold(fold, *words, one.name)]
                needs[fold][role + one.name] = cell
                cells.append(cell)
    planters = [one.name for one in hospitals][-scale.planters :]
    backdoors = {
        site: Cell(
            in_fold(REPORTING, "backdoor", site),
            KIND,
            plant_backdoor,
            scale.plan.settings_of(scale.plan.arms[0], site, REPORTING),
            0,
            {COHORTS + site: needs[REPORTING][COHORTS + site]},
            cpu_seconds=scale.plan.cost(DISTIL_S[network]),
            resumable=True,
        )
        for site in planters
    }
    cells += backdoors.values()
    for fold in folds:
        for seed in range(scale.seeds):
            for attack in scale.attacks:
                cells += [
                    _trial(scale, fold, one.name, attack, seed, needs[fold]) for one in hospitals
                ]
    for seed in range(scale.seeds):
        for site, planted in backdoors.items():
            own = needs[REPORTING] | {PLANTED: planted}
            cells.append(_trial(scale, REPORTING, site, BACKDOOR, seed, own))
    return cells


def _trial(
    scale: Scale, fold: int, site: str, attack: str, seed: int, needs: Mapping[str, Cell]
) -> Cell:
    words = "-".join("".join(c if c.isalnum() else " " for c in attack).split())
    whole = fold == REPORTING
    return Cell(
        in_fold(fold, f"poison-{site}-{words}-{seed}"),
        KIND,
        run_trial,
        Trial(fold, site, attack, whole, scale.plan.seed, scale.plan.arms[0].network),
        seed,
        needs,
        cpu_seconds=scale.plan.cost(14.0 if whole else 1.0),
    )
