"""The local store: films without their headers, under names that say nothing.

``intake`` copies films from a folder of DICOM files, ``identities`` keeps the one file that leads
back to patients, ``review`` records what a person decided about a film that may show writing,
``folder`` and ``record`` hold what was copied, ``outline`` what was drawn on it; ``table`` lists
the outlined films for ``gdshare label``.
"""

from gdshare.store.folder import Store, make_store, open_store
from gdshare.store.identities import Identities, Identity, open_identities
from gdshare.store.intake import Intake, Outcome, take_in
from gdshare.store.record import Decision, Review, StoredFilm
from gdshare.store.review import look, review_film

__all__ = [
    "Decision",
    "Identities",
    "Identity",
    "Intake",
    "Outcome",
    "Review",
    "Store",
    "StoredFilm",
    "look",
    "make_store",
    "open_identities",
    "open_store",
    "review_film",
    "take_in",
]
