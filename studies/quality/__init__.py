"""Do three distilled images a hospital classify films as well as thousands of real patches?

The claim of Li et al. 2020 (Ex. I), tested by patient-level cross-validation on films of three
hospitals pooled. In full some twelve CPU-hours; the tables say what each kind of cell took.
``--quick`` takes under two minutes, on synthetic films. A row is printed once it is complete in all
folds; ``--only report`` prints what is complete and says what is missing::

    OUT/
      phantom-0.DIGEST/films           with --quick: synthetic films in place of real ones
      fold-0/
        cohort-SITE.DIGEST/cohort      patches, cut and labelled; which patient is in which split
        distil-convnet-SITE.../run     a hospital's distillation on one arm's network
        scheme-convnet.../             which way of pooling the validation patients prefer
        films-convnet.../00000.npz     what 20 networks, trained on distilled images, see in a film
        real-3000-group.../            networks trained on real patches
        films-real-3000-group.../      what each of them sees in every film
        cross-SITE.../                 how well a hospital's images train each arm's network
      fold-1/ ...
"""

import argparse
from dataclasses import replace
from pathlib import Path

from studies.command import Study
from studies.hospitals import hospitals_of
from studies.quality.plan import FULL, QUICK
from studies.quality.report import Reader
from studies.quality.schedule import KINDS, cells_of
from studies.runner import Store

QUICK_HELP = "a tiny plan on synthetic films"
DATA, DATA_HELP = Path("../shared/data/tb_cxr"), "the real films"

__all__ = ["DATA", "DATA_HELP", "KINDS", "QUICK_HELP", "add_options", "study"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What no other study takes."""
    parser.add_argument("--folds", type=int, help="parts of the patients (default 3, quick 2)")


def study(chosen: argparse.Namespace, store: Store) -> Study:
    """The cells, and the report of those that are done.

    Raises:
        UsageError: too few folds, or the films are not there.
    """
    plan = QUICK if chosen.quick else FULL
    plan = plan if chosen.folds is None else replace(plan, folds=chosen.folds)
    hospitals = hospitals_of(plan.phantoms, chosen.data, store)
    cells = cells_of(plan, hospitals)
    return Study(
        plan, cells, lambda results: Reader(plan, hospitals, results).report(cells), partial=True
    )
