"""Films straight out of a PACS, by DICOMweb (PS3.18): asked for, retrieved, taken in one by one.

``access`` says where the PACS is and who asks, ``query`` finds the films of some days and
modalities (QIDO-RS), ``retrieval`` writes one to a file (WADO-RS), ``intake`` hands it to the
store. Under them ``line`` sends every request, bounded in bytes and time and tried again where the
network failed; ``faults`` are what can go wrong.
"""

from gdshare.store.pacs.access import Access, Login, access_to, read_password
from gdshare.store.pacs.errors import PacsError
from gdshare.store.pacs.intake import take_in_from
from gdshare.store.pacs.connection import Line, line_to
from gdshare.store.pacs.query import Wanted, find_films

__all__ = [
    "Access",
    "Line",
    "Login",
    "PacsError",
    "Wanted",
    "access_to",
    "find_films",
    "line_to",
    "read_password",
    "take_in_from",
]
