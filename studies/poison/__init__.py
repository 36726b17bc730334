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
from typing import Any

from studies.command import Study
from studies.hospitals import Hospital, Phantoms, hospitals_of
from studies.poison.trial import (
    ATTACKS,
    BACKDOOR,
    HONEST,
    PLANTED,
    Trial,
    plant_backdoor,
    run_trial,
)
from studies.quality.networks import COHORTS, IMAGES
from studies.quality.plan import FULL, QUICK, Plan
from studies.quality.schedule import DISTIL_S, cells_of, in_fold
from studies.report import Report
from studies.runner import Cell, Result, Store
from studies.tables import Row, Table, Value

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
        trials = []
        for cell in cells:
            if isinstance(t := cell.parameters, Trial):
                which = {"fold": t.fold, "site": t.site, "attack": t.attack, "seed": cell.seed}
                trials.append(which | results[cell.name].facts)
        return report_of(trials)

    return Study(scale, cells, report)


def poison_cells(scale: Scale, hospitals: Sequence[Hospital]) -> list[Cell]:
    """Films, cohorts and the first arm's distillations of two folds; a back door; trials.

    The back door is the last hospital's.
    """
    plan, arm = scale.plan, scale.plan.arms[0]
    cells = {cell.name: cell for cell in cells_of(plan, hospitals)}
    sites = [hospital.name for hospital in hospitals]
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
    films = [hospital.films for hospital in hospitals if hospital.films]
    return [*films, *(cell for fold in needs for cell in fold.values()), backdoor, *trials]


def _trial(
    plan: Plan, fold: int, site: str, attack: str, seed: int, needs: Mapping[str, Cell]
) -> Cell:
    words = "-".join("".join(c if c.isalnum() else " " for c in attack).split())
    whole, name = fold == REPORTING, in_fold(fold, "poison", site, words, str(seed))
    trial = Trial(fold, site, attack, whole, plan.seed, plan.arms[0].network)
    return Cell(name, KIND, run_trial, trial, seed, needs, plan.cost(14.0 if whole else 1.0))


HEADINGS = (
    *("attack", "trials", "pooled AUC", "patch score", "turned by the marker"),
    *("found by reference", "by counts", "by its peers", "by any", "peers blamed"),
)
HARM = ("auc", "patch_score", "turned_by_marker")

Facts = Mapping[str, Any]  # of a trial, with its site and attack


def report_of(trials: Sequence[Facts]) -> Report:
    """Means over the trials of the reporting fold, by attack, and what agreement finds on both."""
    whole = [facts for facts in trials if "harm" in facts]
    rest = [facts for facts in trials if "harm" not in facts]
    table = Table("", HEADINGS, [_row(attack, own) for attack, own in _by_attack(whole)])
    blamed = {attack: _count([*map(_outlier, own)]) for attack, own in _by_attack(rest)}
    where = "By its peers in the fold its limits were chosen on"
    notes = [f"{where}: {attack} {count}" for attack, count in blamed.items()]
    return Report("\n".join([table.markdown(), "", *notes]), {"trials": list(trials)})


def _by_attack(trials: Sequence[Facts]) -> list[tuple[str, list[Facts]]]:
    attacks = dict.fromkeys(str(facts["attack"]) for facts in trials)
    return [(name, [facts for facts in trials if facts["attack"] == name]) for name in attacks]


def _row(attack: str, trials: Sequence[Facts]) -> Row:
    blamed = sum(len(_blamed(facts) - {facts["site"]}) for facts in trials)
    peers = sum(len(facts["agreement"]) - 1 for facts in trials)
    harm = [_spread([facts["harm"][name] for facts in trials]) for name in HARM]
    reference, counts = ([_fails(t, films) for t in trials] for films in ("reference", "counts"))
    outliers = [_outlier(facts) for facts in trials]
    either = [a or b for a, b in zip(reference, outliers, strict=True)]
    ways: list[Sequence[bool | None]] = [reference, counts, outliers, either]
    return (attack, str(len(trials)), *harm, *map(_count, ways), f"{blamed} of {peers}")


def _fails(facts: Facts, films: str) -> bool | None:
    """Whether the bundle fails on those films; None: too few of them to say."""
    utility = facts["teaching"][films]
    return None if utility is None or not utility["tested"] else not utility["beats_chance"]


def _blamed(facts: Facts) -> set[str]:
    return {site for site, figures in facts["agreement"].items() if figures and figures["faults"]}


def _outlier(facts: Facts) -> bool:
    return facts["site"] in _blamed(facts)


def _count(verdicts: Sequence[bool | None]) -> str:
    known = [verdict for verdict in verdicts if verdict is not None]
    return "not tested" if len(known) < len(verdicts) else f"{sum(known)} of {len(known)}"


def _spread(values: Sequence[float | None]) -> Value:
    known = [value for value in values if value is not None]
    if not known:
        return Value("-", None)
    mean, low, high = sum(known) / len(known), min(known), max(known)
    return Value(f"{mean:.3f} ({low:.3f} to {high:.3f})", [mean, low, high])
