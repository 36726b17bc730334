"""From the results of cells to tables: the claim, and every model that was trained on images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from studies.claim.plan import Plan
from studies.harmonised.report import MARGIN, READINGS, Claim
from studies.hospitals import Hospital
from studies.quality.figures import PRIMARY
from studies.quality.report import Reader
from studies.report import Report
from studies.runner import Cell, Result
from studies.tables import costs

REAL = "real, ResNet18"


def report_of(
    plan: Plan,
    hospitals: Sequence[Hospital],
    results: Mapping[str, Result],
    plain: Mapping[str, Result],
    cells: Sequence[Cell],
) -> Report:
    """All tables of what is complete; ``plain``: the results of ``studies.quality``."""
    images = Reader(plan.shared, hospitals, results)
    claim = Claim(images, Reader(plan.plain, hospitals, plain))
    tables = [
        *claim.tables(),
        *(table for reading in READINGS for table in images.reading(*reading)),
        images.patches(),
        images.choices(),
        costs("CPU-seconds, all folds together", cells, results, each=True),
    ]
    notes = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip()
    words = [notes.format(margin=MARGIN), *images.lacking, *claim.lacking]
    figures = {
        "primary": {"way": PRIMARY[0], "rule": PRIMARY[1], "k": plan.shared.primary},
        "missing": images.missing,
        "tables": [table.as_data() for table in tables],
    }
    return Report("\n\n".join([*words, *map(str, tables)]), figures, _answer(claim))


def _answer(claim: Claim) -> str:
    """Empty before images and real patches are complete."""
    if claim.images is None or not claim.rivals:
        return ""
    [ours, *_] = claim.figures(claim.harmonised, claim.images)
    real = [own for own in claim.rivals if REAL in own.name]
    others = "; ".join(f"{own.name}: {own.figures[0].auc:.2f}" for own in real)
    return f"{claim.images.name}: AUC {ours.auc:.2f} on all test films. {others}."
