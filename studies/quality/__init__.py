"""Do three distilled images a hospital classify films as well as thousands of real patches?

The claim of Li et al. 2020 (Ex. I), tested by patient-level cross-validation on films of three
hospitals pooled. In full some twelve CPU-hours; the tables say what each kind of cell took.
``--quick`` takes under two minutes, on synthetic films. A row is printed once it is complete in all
folds; ``--only report`` prints what is complete and says what is missing.
"""

import argparse

from studies.command import Study
from studies.hospitals import hospitals_of
from studies.quality.plan import FULL, QUICK
from studies.quality.report import Reader
from studies.quality.schedule import cells_of
from studies.runner import Store


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    hospitals = hospitals_of(plan.phantoms, chosen.data, store)
    cells = cells_of(plan, hospitals)
    return Study(
        plan, cells, lambda results: Reader(plan, hospitals, results).report(cells), partial=True
    )
