"""A cohort: a hospital's films with masks and diagnoses, and the labelled patches cut from them,
split by patient. It never leaves the hospital.

``table`` reads the CSV, ``split`` divides the patients, ``label`` cuts and labels the films,
``store`` defines the files on disk and opens them.
"""

from gdshare.cohort.label import fitting_geometry, label_cohort
from gdshare.cohort.split import DEFAULT_FRACTIONS, SPLITS, Split
from gdshare.cohort.store import (
    Cohort,
    CohortFilm,
    Patches,
    cohort_digest,
    open_cohort,
    windows_digest,
)
from gdshare.cohort.table import TableRow, read_listing, read_table

__all__ = [
    "DEFAULT_FRACTIONS",
    "SPLITS",
    "Cohort",
    "CohortFilm",
    "Patches",
    "Split",
    "TableRow",
    "cohort_digest",
    "fitting_geometry",
    "label_cohort",
    "open_cohort",
    "read_listing",
    "read_table",
    "windows_digest",
]
