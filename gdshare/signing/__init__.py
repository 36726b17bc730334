"""Keys, and files signed with them: signatures on untrusted input are verified here.

Everything here reads what others wrote, so the package may import cryptography, pydantic, numpy and
the standard library only (import-linter checks that).

``keys`` makes, stores and reads signing keys (ECDSA, P-256), ``sealing_keys`` the keys that open a
sealed bundle (X25519). ``canonical`` reads and writes JSON in one form, ``envelope`` is the
signature around a ``statement``. By ``enrolment`` a hospital asks for its key to be trusted, by
``revocation`` it ends that trust; both are ``self_signed``.
"""

from gdshare.signing.enrolment import EnrolmentRequest, read_request, write_request
from gdshare.signing.keys import (
    fingerprint,
    load_private_key,
    load_public_key,
    new_key,
    parse_public_key,
    parse_public_pem,
    public_pem,
    read_key_file,
    require_absent,
    write_key_pair,
    write_new,
)
from gdshare.signing.names import SITE
from gdshare.signing.revocation import Revocation, read_revocation, write_revocation
from gdshare.signing.sealing_keys import (
    load_sealing_key,
    load_sealing_public_key,
    new_sealing_key,
    write_sealing_pair,
)

__all__ = [
    "SITE",
    "EnrolmentRequest",
    "Revocation",
    "fingerprint",
    "load_private_key",
    "load_public_key",
    "load_sealing_key",
    "load_sealing_public_key",
    "new_key",
    "new_sealing_key",
    "parse_public_key",
    "parse_public_pem",
    "public_pem",
    "read_key_file",
    "read_request",
    "read_revocation",
    "require_absent",
    "write_key_pair",
    "write_new",
    "write_request",
    "write_revocation",
    "write_sealing_pair",
]
