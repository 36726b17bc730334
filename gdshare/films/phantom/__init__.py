"""Synthetic double-contrast stomach films with masks: built-in data for trials and tests.

No patient was involved. The anatomy was designed by hand and varies by seeded random streams. The
films resemble gastric films only as far as the toolkit needs.

``film`` makes one film from ``stomach`` (outline), ``mucosa`` (barium coating and folds),
``surroundings`` and ``exposure`` (site look, noise, collimator). ``folder`` writes the films of a
phantom hospital.
"""

from gdshare.films.phantom.exposure import MARK, SITES, SiteLook, site_look
from gdshare.films.phantom.film import patient_texture, phantom_film
from gdshare.films.phantom.folder import phantom_patient, write_phantom_cohort

__all__ = [
    "MARK",
    "SITES",
    "SiteLook",
    "patient_texture",
    "phantom_film",
    "phantom_patient",
    "site_look",
    "write_phantom_cohort",
]
