"""Do three images a hospital teach as much as its films, once films are harmonised?

The claim of Li et al. 2020 again, as in ``studies quality``, by images that train the last layer
alone and on films whose tone curve is taken away. The plain figures beside come from the archive of
``studies quality``, in the same folder. A second part compares the tones. A row is printed once it
is complete in all folds; ``--only report`` prints what is complete and says what is missing.
``--quick`` takes under two minutes, on synthetic films.
"""

import argparse
from collections.abc import Mapping

from studies.command import Study, results_beside
from studies.harmonised.plan import FULL, QUICK, harmonised_cells
from studies.harmonised.report import report_of
from studies.hospitals import hospitals_of
from studies.quality.schedule import cells_of
from studies.report import Report
from studies.runner import Result, Store


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    hospitals = hospitals_of(plan.shared.phantoms, chosen.data, store)
    cells = harmonised_cells(plan, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        plain = results_beside("quality", cells_of(plan.plain, hospitals), store)
        return report_of(plan, hospitals, results, plain, cells)

    return Study(plan, cells, report, partial=True)
