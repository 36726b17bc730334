"""The local store: films without their headers, under random names.

``listing`` finds the files of a folder, ``intake`` copies films from those that are DICOM,
``identities`` keeps the one file that leads back to patients, ``review`` records what a person
decided about a held film, ``folder`` and ``record`` are the store on disk, ``outline`` holds what
was drawn on a film, and ``table`` lists the outlined films for ``gdshare label``. ``pacs`` imports
over DICOMweb.

Example::

    store = make_store(Path("store"))
    with open_identities(Path("identities.csv"), random_name) as identities, decoder() as decode:
        files = list_folder(folder).files
        for outcome in import_films(files, Intake(store, identities, decode)):
            print(outcome.path, outcome.kind)
"""

from gdshare.store.folder import Store, make_store, open_store
from gdshare.store.identities import Identities, Identity, open_identities
from gdshare.store.intake import Intake, import_films
from gdshare.store.listed import import_listed
from gdshare.store.listing import Listing, list_folder
from gdshare.store.outcome import Outcome
from gdshare.store.record import Decision, Review, StoredFilm
from gdshare.store.review import detect_text, review_film

__all__ = [
    "Decision",
    "Identities",
    "Identity",
    "Intake",
    "Listing",
    "Outcome",
    "Review",
    "Store",
    "StoredFilm",
    "detect_text",
    "import_films",
    "import_listed",
    "list_folder",
    "make_store",
    "open_identities",
    "open_store",
    "review_film",
]
