"""What does a hospital with few films gain from other hospitals' distilled images?

One hospital of three is left out at a time. It trains scattering's last layer on 5 to 50 of its own
patients: alone, drawn towards the layer that the others' images teach, or with these images among
its patches, as ``gdshare train --from`` does. Beside them stand the others' model as it comes, and
the model of all. The images are those of ``studies claim``: the same cells, so that study's folder
may be given as ``--out``. The picture is written to OUT/gain.svg. ``--quick`` takes under two
minutes, on synthetic films, and its figures say nothing.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from gdshare.storage import write_bytes
from studies.command import Study
from studies.gain.plan import FAST, FULL, gain_cells
from studies.gain.report import report_of
from studies.hospitals import hospitals_of
from studies.report import Report
from studies.runner import Result, Store

PICTURE = "gain.svg"


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = FAST if chosen.quick else FULL
    plan = replace(plan, seeds=chosen.seeds or plan.seeds)
    hospitals = hospitals_of(plan.quality.phantoms, chosen.data, store)
    cells = gain_cells(plan, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        tables = report_of(plan, hospitals, results, cells)
        store.out.mkdir(parents=True, exist_ok=True)
        write_bytes(store.out / PICTURE, tables.picture.encode())
        return tables

    return Study(plan, cells, report)
