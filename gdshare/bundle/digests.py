"""The signed statement of a bundle: which files, with which digests.

In the form of OpenSSF Model Signing 1.0. Its subject's digest, the SHA-256 of the concatenated raw
digests in the order of the names, stands for the bundle as a whole.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from gdshare.bundle.errors import Altered, ExtraFile, MissingFile
from gdshare.bundle.layout import SIGNATURE, SIGNED
from gdshare.signing import canonical
from gdshare.signing.errors import SEND_AGAIN, MalformedSignature, quoted
from gdshare.signing.names import HEX_DIGEST
from gdshare.signing.statement import Statement

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SUBJECT = "gdshare-bundle"
WHERE = f"the statement in {SIGNATURE}"


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256, in lower-case hex, of each signed file, sorted by name."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in SIGNED}


def subject_digest(digests: Mapping[str, str]) -> str:
    """The one digest that names the bundle: 64 lower-case hex digits."""
    raw = b"".join(bytes.fromhex(digests[name]) for name in sorted(digests))
    return hashlib.sha256(raw).hexdigest()


def statement_of(digests: Mapping[str, str]) -> Statement:
    """The statement over these digests."""
    predicate = {
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
    }
    return Statement(SUBJECT, subject_digest(digests), PREDICATE_TYPE, predicate)


def listed_digests(statement: Statement) -> dict[str, str]:
    """The digests that a verified statement lists.

    Returns:
        name -> SHA-256 in hex.

    Raises:
        MalformedSignature: it lists no digests.
        NotCanonical: another subject or type, or more than digests.
    """
    try:
        listed = _listed(statement.predicate)
    except (KeyError, TypeError, IndexError):
        raise MalformedSignature(f"{WHERE} lists no SHA-256 digests", remedy=SEND_AGAIN) from None
    canonical.require_same(statement.to_bytes(), statement_of(listed).to_bytes(), WHERE)
    return listed


def _listed(predicate: Mapping[str, Any]) -> dict[str, str]:
    listed = {entry["name"]: entry["digest"] for entry in predicate["resources"]}
    for name, digest in listed.items():
        if not isinstance(name, str) or not HEX_DIGEST.fullmatch(digest):
            raise TypeError("a resource needs a name and 64 lower-case hex digits")
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
            raise ExtraFile(
                f"{WHERE} lists {quoted(name)}, which is not part of a bundle", remedy=SEND_AGAIN
            )
    for name, digest in digests_of(files).items():
        if digest != listed[name]:
            raise Altered(f"{name} was altered after the bundle was signed", remedy=SEND_AGAIN)
