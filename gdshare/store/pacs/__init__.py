"""Importing films from a PACS over DICOMweb (PS3.18), one at a time.

``access`` checks the address and the login, ``query`` finds films by date and modality (QIDO-RS),
``retrieval`` downloads a film to a file (WADO-RS), and ``intake`` imports it into the store. Below
them, ``connection`` sends every request, limits its bytes and retries transient failures;
``deadline`` limits its seconds; ``errors`` maps what can go wrong.

Example::

    access = access_to("https://pacs.hospital/dicom-web", Login("node", password))
    with connect(access, time.sleep) as connection:
        films = find_films(connection, Query(("CR", "DX"), since=date(2024, 1, 1)))
        for outcome in import_from_pacs(connection, films, intake, Path("arriving.dcm")):
            print(outcome.path, outcome.kind)
"""

from gdshare.store.pacs.access import Access, Login, access_to, read_password
from gdshare.store.pacs.connection import Connection, connect
from gdshare.store.pacs.errors import PacsError
from gdshare.store.pacs.intake import import_from_pacs
from gdshare.store.pacs.query import Query, find_films

__all__ = [
    "Access",
    "Connection",
    "Login",
    "PacsError",
    "Query",
    "access_to",
    "connect",
    "find_films",
    "import_from_pacs",
    "read_password",
]
