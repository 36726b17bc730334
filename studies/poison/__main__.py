"""``python -m studies.poison``: what poisoned bundles do, and which are found.

Does every piece that is not done yet, then prints the table. Stopped, the same command goes on. In
full about 40 CPU-minutes, most of it for six honest distillations and a back door's; in a folder
where ``studies.quality`` left its own, about 15. ``--quick`` takes under two minutes, on
synthetic films, and its figures say nothing.
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import JsonValue

from benchmarks.command import faults_told, parser, say, write_figures
from benchmarks.pieces.claims import Piece, do_pieces, facts
from benchmarks.pieces.record import open_plan
from gdshare.allocator import keep_freed_memory
from studies.poison.attacks import ATTACKS, BACKDOOR, HONEST
from studies.poison.table import table
from studies.poison.trial import Trial, plant_backdoor, run_trial
from studies.quality.fold import Fold
from studies.quality.hospitals import Hospital, digests, phantom_hospitals, real_hospitals
from studies.quality.plan import FULL, QUICK, Phantoms, Plan
from studies.quality.schedule import folds_of, pieces_of

CHOOSING, REPORTING = 0, 1
"""Folds: the limits of agreement were chosen on the first, all is reported on the second."""
KIND = "poison"


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        plan: the honest hospitals'.
        seeds: trials of each attack and hospital.
        attacks: names in ``ATTACKS``.
        planters: how many hospitals distil a back door as well, the last ones.
    """

    plan: Plan
    seeds: int
    attacks: tuple[str, ...]
    planters: int


SLOW = Scale(FULL, 2, tuple(ATTACKS), 1)
FAST = Scale(replace(QUICK, phantoms=Phantoms(hospitals=3)), 1, (HONEST, "labels flipped"), 1)


NAME = "studies.poison"


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "a tiny plan on synthetic films")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="folder that holds tb_cxr (default ../shared/data)",
    )
    made.add_argument(
        "--out",
        type=Path,
        help="folder for the pieces, which may be one of studies.quality, unless that went on "
        "from an archive (default poison-runs, with --quick a new one each time, removed at the "
        "end)",
    )
    return made


def run(scale: Scale, data: Path, out: Path) -> list[dict[str, JsonValue]]:
    """Do what is not done yet; every trial with what it found.

    Raises:
        GdshareError: a piece cannot be done; what is finished stays.
    """
    plan = scale.plan
    if plan.phantoms is None:
        hospitals = real_hospitals(data / "tb_cxr")
        open_plan(out, plan.as_data(), digests(hospitals))
    else:
        hospitals = phantom_hospitals(out, plan.phantoms)
        open_plan(out, plan.as_data(), {})
    folds = folds_of(out, plan, hospitals)[: REPORTING + 1]
    trials = [(fold, trial) for fold in folds for trial in _trials(scale, fold)]
    pieces = [
        *_honest(folds, hospitals),
        *_backdoors(scale, folds[REPORTING]),
        *(_piece(fold, trial) for fold, trial in trials),
    ]
    do_pieces(out, pieces, say)
    return [
        {
            "fold": fold.number,
            "site": trial.site,
            "attack": trial.attack,
            "seed": trial.seed,
            **facts(out, _name(fold, trial)),
        }
        for fold, trial in trials
    ]


def _honest(folds: list[Fold], hospitals: tuple[Hospital, ...]) -> list[Piece]:
    """Films, cohorts, and the first arm's distillations."""
    wanted = {hospital.name for hospital in hospitals}
    for fold in folds:
        for site in fold.sites:
            wanted |= {fold.cohort(site), fold.distil(fold.plan.arms[0], site)}
    return [piece for piece in pieces_of(folds, hospitals) if piece.name in wanted]


def _backdoors(scale: Scale, fold: Fold) -> list[Piece]:
    return [
        Piece(
            _backdoor(fold, site),
            KIND,
            partial(plant_backdoor, fold, site),
            tuple(fold.cohort(one) for one in fold.sites),
        )
        for site in fold.sites[-scale.planters :]
    ]


def _trials(scale: Scale, fold: Fold) -> list[Trial]:
    whole = fold.number == REPORTING
    found = [
        Trial(site, attack, None, seed, whole)
        for seed in range(scale.seeds)
        for attack in scale.attacks
        for site in fold.sites
    ]
    if whole:
        found += [
            Trial(site, BACKDOOR, fold.out / _backdoor(fold, site), seed, whole)
            for seed in range(scale.seeds)
            for site in fold.sites[-scale.planters :]
        ]
    return found


def _piece(fold: Fold, trial: Trial) -> Piece:
    needs = [fold.distil(fold.plan.arms[0], site) for site in fold.sites]
    if trial.planted is not None:
        needs.append(_backdoor(fold, trial.site))
    return Piece(_name(fold, trial), KIND, partial(run_trial, fold, trial), tuple(needs))


def _name(fold: Fold, trial: Trial) -> str:
    words = "-".join("".join(c if c.isalnum() else " " for c in trial.attack).split())
    return f"fold-{fold.number}/poison-{trial.site}-{words}-{trial.seed}"


def _backdoor(fold: Fold, site: str) -> str:
    return f"fold-{fold.number}/backdoor-{site}"


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with faults_told(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        out = chosen.out or Path(aside if chosen.quick else "poison-runs")
        found = run(FAST if chosen.quick else SLOW, chosen.data, out)
        print(table(found))
        write_figures(chosen.json, NAME, {"trials": list(found)})


if __name__ == "__main__":
    main()
