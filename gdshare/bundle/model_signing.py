"""The signed statement: which files, with which digests.

An in-toto Statement v1 in the form of OpenSSF Model Signing 1.0. Its subject's digest, the SHA-256
of the concatenated raw digests in the order of the names, stands for the bundle as a whole.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from gdshare.bundle.errors import Altered, ExtraFile, MissingFile
from gdshare.bundle.layout import SIGNATURE, SIGNED
from gdshare.signing import canonical
from gdshare.signing.errors import SEND_AGAIN, MalformedSignature, quoted
from gdshare.signing.names import HEX_DIGEST
from gdshare.signing.statement import STATEMENT_TYPE

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SUBJECT = "gdshare-bundle"
WHERE = f"the statement in {SIGNATURE}"


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Give the SHA-256, in lower-case hex, of each signed file, sorted by name."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in SIGNED}


def subject_digest(digests: Mapping[str, str]) -> str:
    """Give the one digest that names the bundle: 64 lower-case hex digits."""
    raw = b"".join(bytes.fromhex(digests[name]) for name in sorted(digests))
    return hashlib.sha256(raw).hexdigest()


def write_statement(digests: Mapping[str, str]) -> bytes:
    """Write the statement over these digests in its one form (canonical.compact)."""
    return canonical.compact(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": SUBJECT, "digest": {"sha256": subject_digest(digests)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [SIGNATURE],
                },
                "resources": [
                    {"name": name, "algorithm": "sha256", "digest": digests[name]}
                    for name in sorted(digests)
                ],
            },
        }
    )


def _listed(value: Any) -> dict[str, str]:
    """Dig the digests out of a parsed statement; any other structure raises."""
    listed = {entry["name"]: entry["digest"] for entry in value["predicate"]["resources"]}
    for name, digest in listed.items():
        if not isinstance(name, str) or not HEX_DIGEST.fullmatch(digest):
            raise TypeError("a resource needs a name and 64 lower-case hex digits")
    return listed


def read_statement(payload: bytes) -> dict[str, str]:
    """Read a statement whose signature was already found good.

    Args:
        payload: the statement's bytes, as signed.

    Returns:
        name -> SHA-256 in hex, as the statement lists them.

    Raises:
        MalformedSignature: not a statement with a list of digests.
        NotCanonical: not written in the one form: another subject, type, key or spacing.
    """
    value = canonical.parse(payload, WHERE, MalformedSignature)
    try:
        listed = _listed(value)
    except (KeyError, TypeError, IndexError):
        raise MalformedSignature(f"{WHERE} lists no SHA-256 digests", remedy=SEND_AGAIN) from None
    canonical.require_same(payload, write_statement(listed), WHERE)
    return listed


def check_digests(files: Mapping[str, bytes], listed: Mapping[str, str]) -> None:
    """Refuse files that are not exactly the signed ones.

    Raises:
        MissingFile: the signature does not cover one of the files.
        ExtraFile: the signature lists a file that no bundle has.
        Altered: naming the first file whose digest differs.
    """
    for name in SIGNED:
        if name not in listed:
            raise MissingFile(f"{WHERE} does not cover {name}", remedy=SEND_AGAIN)
    for name in listed:
        if name not in SIGNED:
            raise ExtraFile(f"{WHERE} lists {quoted(name)}, no part of a bundle", remedy=SEND_AGAIN)
    for name, digest in digests_of(files).items():
        if digest != listed[name]:
            raise Altered(f"{name} was altered after the bundle was signed", remedy=SEND_AGAIN)
