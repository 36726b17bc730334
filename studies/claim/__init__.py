"""Do three images a hospital teach as much as its films?

The claim of Li et al. 2020 with the defaults of ``gdshare distill``: films as they are, wavelet
scattering, images that train the last layer. Real patches and former images come from the archive
of ``studies quality``, of the same patients, splits and windows, in the same folder. A row is
printed once it is complete in all folds; ``--only report`` prints what is complete and says what is
missing. ``--quick`` takes under two minutes, on synthetic films.
"""

import argparse
from collections.abc import Mapping

from studies.claim.plan import FULL, QUICK
from studies.claim.report import report_of
from studies.command import Study, results_beside
from studies.hospitals import hospitals_of
from studies.quality.schedule import cells_of
from studies.report import Report
from studies.runner import Result, Store


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    hospitals = hospitals_of(plan.shared.phantoms, chosen.data, store)
    cells = cells_of(plan.shared, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        plain = results_beside("quality", cells_of(plan.plain, hospitals), store)
        return report_of(plan, hospitals, results, plain, cells)

    return Study(plan, cells, report, partial=True)
