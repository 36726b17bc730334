"""Synthetic double-contrast stomach films with masks: embedded data for trying everything out.

No patient was ever near them. Geometry, looks and textures were drawn by hand and by seeded
random streams; they look like gastric films only as far as the toolkit needs.
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
