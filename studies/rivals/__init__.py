"""What else could hospitals send than distilled images, what does it reach, at what price?

Each hospital alone; FedAvg and FedProx by Flower's strategies; averaged networks and linear heads;
real patches, chosen by chance or as medoids; distribution matching; all real patches pooled. On the
patients, splits and films of ``studies quality``, whose rows are taken from its archive. In full
about two CPU-hours, ``--quick`` under two minutes. A row is printed once it is complete in all
folds. The picture is written to OUT/rivals.svg, OUT being the folder of --out.
"""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace

from gdshare.storage import write_bytes
from studies.command import Study, results_beside
from studies.hospitals import hospitals_of
from studies.quality.schedule import cells_of as cells_of_quality
from studies.report import Report
from studies.rivals.picture import draw
from studies.rivals.plan import FULL, QUICK
from studies.rivals.report import Reader
from studies.rivals.schedule import cells_of
from studies.runner import Result, Store

PICTURE = "rivals.svg"


def study(chosen: argparse.Namespace, store: Store) -> Study:
    logging.getLogger("flwr").setLevel(logging.ERROR)  # a line a round
    plan = QUICK if chosen.quick else FULL
    hospitals = hospitals_of(plan.shared.phantoms, chosen.data, store)
    cells = cells_of(plan, hospitals)

    def report(results: Mapping[str, Result]) -> Report:
        shared = results_beside("quality", cells_of_quality(plan.shared, hospitals), store)
        reader = Reader(plan, hospitals, results, shared)
        store.out.mkdir(parents=True, exist_ok=True)
        tables = replace(reader.report(cells), picture=draw(reader.lines))
        write_bytes(store.out / PICTURE, tables.picture.encode())
        return tables

    return Study(plan, cells, report, partial=True)
