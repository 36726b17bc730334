"""What do bundles of several kinds give away? Every attack, its control, and what they are worth.

Each hospital of tb_cxr distils alone, with the defaults but for what a row names: soft labels, hard
labels, images that start from real patches, a guarantee of ε = 8; and a ConvNet trained whole, with
announced θ0. Each bundle is audited as ``gdshare audit --full`` does, with fewer shadows. Utility
is of test patients, on up to 64 windows of class I and 64 of the organ of each film. Images of
PneumoniaMNIST, each a patient, are attacked beside the hospitals, with and without a guarantee;
members are its training images, others its validation images, and utility is of its test images,
where guessing gives 0.5. Noise of the guarantee comes from the operating system, so a repeat gives
other figures.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from gdshare.storage import write_bytes
from studies.attacks.plan import FULL, QUICK
from studies.attacks.report import report_of
from studies.attacks.schedule import cells_of, reading_cell
from studies.command import Study
from studies.hospitals import hospitals_of
from studies.report import Report
from studies.runner import Result, Store

PICTURE = "attacks.svg"


def study(chosen: argparse.Namespace, store: Store) -> Study:
    plan = QUICK if chosen.quick else FULL
    plan = replace(plan, seeds=chosen.seeds or plan.seeds)
    hospitals = hospitals_of(plan.phantoms, chosen.data, store, plan.names)
    cells = cells_of(plan, hospitals, reading_cell(plan, store, chosen.data))

    def report(results: Mapping[str, Result]) -> Report:
        whole = report_of(plan, hospitals, cells, results)
        store.out.mkdir(parents=True, exist_ok=True)
        write_bytes(store.out / PICTURE, whole.picture.encode())
        return whole

    return Study(plan, cells, report, partial=True)
