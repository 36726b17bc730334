"""The source's own experiments (Li et al. 2020), on chest films with today's defaults.

Real patches against distilled images, soft labels against hard ones, what labels and rates were
learned, scores by training step, ε, M, E and I, and the labels' start. Images are distilled as
``studies claim`` does, on the same patients, splits and windows; rows of real patches come from the
archive of ``studies quality``, and those of 3, 9 and 30 images from that of ``studies rivals``, in
the same folder. A row is printed once it is complete in all folds. In full about 65
CPU-minutes, ``--quick`` under a minute, on synthetic films.
"""

import argparse
from collections.abc import Mapping

from studies.command import Study, results_beside
from studies.hospitals import hospitals_of
from studies.quality.schedule import cells_of as cells_of_quality
from studies.report import Report
from studies.rivals.schedule import cells_of as cells_of_rivals
from studies.runner import Result, Store
from studies.source.plan import FULL, QUICK, source_cells
from studies.source.report import Reader


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    hospitals = hospitals_of(plan.shared.shared.phantoms, chosen.data, store)
    cells = source_cells(plan, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        rivals = results_beside("rivals", cells_of_rivals(plan.shared, hospitals), store)
        quality = results_beside("quality", cells_of_quality(plan.shared.shared, hospitals), store)
        return Reader(plan, hospitals, results, rivals, quality).report(cells)

    return Study(plan, cells, report, partial=True)
