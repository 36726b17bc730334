"""Further bundles of the same patients, attacked with the help of the first one's shadows.

Shadows are distillations like the run, by the same settings, and so they are like its repeats too.
Each repeat has seeds of its own, and under a guarantee noise of its own. How much figures waver
from run to run is seen for the price of a bundle.
"""

from dataclasses import dataclass, replace

from pydantic import JsonValue

from gdshare.audit.attack import attack_run
from gdshare.audit.audit_run import Effort
from gdshare.audit.gathering import gather, line_up, overfitted_sets
from gdshare.audit.membership_lira import BUNDLE, LIRA, attack_bundle
from gdshare.audit.traces import reader_of
from gdshare.private.reference import Drawing
from studies.attacks.audits import SHADOWS, attacked_bundle, workshop_at
from studies.attacks.bundles import read_bundle
from studies.attacks.plan import Begin
from studies.runner import Piece, Result

REPEATS = "repeats"
"""Kind of cells."""
OF_REPEAT = "repeat-"
"""Roles of the repeats' bundles begin with this; their seed follows."""


@dataclass(frozen=True)
class Repeating:
    """All that decides what is found beside the bundles and the first one's shadows."""

    start: Begin
    drawing: Drawing
    effort: Effort


def make_repeats(piece: Piece, repeating: Repeating) -> Result:
    """The cell that attacks the repeats; of each attack, figure and interval of each."""
    cohort, first = attacked_bundle(piece)
    folder = piece.needs[SHADOWS].folder
    workshop = workshop_at(piece, folder, repeating.start, repeating.drawing)
    people, seed, effort = workshop.candidates, workshop.seed, repeating.effort
    few = overfitted_sets(workshop, effort.overfitted, _made_before)
    of_the_run = (workshop, first.record, first.distilled)
    evidence = gather(*of_the_run, few, effort.shadows, None, _made_before)
    read = reader_of(people, workshop.problem, first.record, first.distilled, seed, None)
    found: dict[str, list[JsonValue]] = {}
    for role in sorted(role for role in piece.needs if role.startswith(OF_REPEAT)):
        own = read_bundle(piece.needs[role].folder)
        beside = replace(evidence, target=read(own.distilled), distilled=own.distilled)
        results = [attack_bundle(name, beside).attack for name in (LIRA, BUNDLE)]
        results.append(line_up(beside, workshop, first.record, None, None, _made_before).attack)
        results += attack_run(own.record, own.distilled, cohort).attacks
        for attack in results:
            found.setdefault(attack.name, []).append([attack.figure, attack.low, attack.high])
    return Result({"found": {name: found[name] for name in sorted(found)}})


def _made_before() -> None:
    """After each training step of a set, of which there is none."""
