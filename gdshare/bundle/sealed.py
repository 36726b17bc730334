"""A sealed bundle: one file that only the aggregator can read, not whoever carries it.

::

    gdshare-sealed/0.1
    to FINGERPRINT             of the key that opens it
    site SITE                  whose bundle it is
    digest DIGEST              of the bundle
    length LENGTH              of what follows the empty line, in bytes

    BYTES                      HPKE (RFC 9180): the encapsulated key, then the ciphertext

These lines are HPKE's ``info``, byte for byte, so the seal opens under no others. Sealed are the
six files in the order of their names, each as its length (four bytes, big-endian) and its content;
there are no names in it, and so no paths. HPKE's base mode keeps a secret and proves nothing about
who sealed it: that is for the signature inside.

``unseal`` enforces, in this order: size, first lines, key, length, seal, the six lengths against
the bundle's bounds, the signature's digests, and that site and digest are those of the lines.
"""

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gdshare.bundle.digests import WHERE, check_digests, listed_digests
from gdshare.bundle.errors import (
    BrokenSeal,
    CutShort,
    NotAPlainFile,
    NotSealed,
    PassedOff,
    SealedForAnother,
    TrailingBytes,
    UnreadableBundle,
)
from gdshare.bundle.layout import (
    BOUNDS,
    MANIFEST,
    SIGNATURE,
    check_complete,
    check_name,
    check_size,
)
from gdshare.bundle.manifest import Manifest
from gdshare.plain_files import NotPlainError, TooLargeError, read_plain
from gdshare.signing.envelope import read_envelope
from gdshare.signing.errors import Oversized
from gdshare.signing.keys import fingerprint
from gdshare.signing.names import SITE
from gdshare.signing.statement import read_statement

FORMAT: Final = "gdshare-sealed/0.1"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_ADDED = 32 + 16
"""Bytes that HPKE adds: the encapsulated key and the tag."""
_ORDER = tuple(sorted(BOUNDS))
_LENGTH = struct.Struct(">I")
_MAX_HEAD = 256
_MAX_BODY = sum(BOUNDS.values()) + len(BOUNDS) * _LENGTH.size + _ADDED
MAX_BYTES: Final = _MAX_HEAD + _MAX_BODY
_HEAD = re.compile(
    rf"{re.escape(FORMAT)}\nto (?P<to>[0-9a-f]{{64}})\nsite (?P<site>{SITE})\n"
    rf"digest (?P<digest>[0-9a-f]{{64}})\nlength (?P<length>[1-9][0-9]{{0,8}})\n\n".encode("ascii")
)
_ASK = "ask the hospital to seal and send it again"


def seal(files: Mapping[str, bytes], to: X25519PublicKey) -> bytes:
    """Seal a bundle to one reader.

    Args:
        files: its six files, name -> content.
        to: the reader's public sealing key.

    Returns:
        the file; it differs each time, since the encapsulated key is random.

    Raises:
        BundleError: these are not the files of a bundle that its signature covers.
    """
    for name, content in files.items():
        check_name(name)
        check_size(name, len(content))
    check_complete(files)
    site, digest = _identify(files)
    content = b"".join(_LENGTH.pack(len(files[name])) + files[name] for name in _ORDER)
    head = _head(fingerprint(to), site, digest, len(content) + _ADDED)
    return head + _SUITE.encrypt(content, to, info=head)


def unseal(data: bytes, key: X25519PrivateKey) -> dict[str, bytes]:
    """Open a stranger's sealed bundle; ``verify_files`` checks what is inside.

    Args:
        data: the file.
        key: the reader's.

    Returns:
        file name -> content of the six files, each within its bound.

    Raises:
        BundleError: one subclass per reason.
    """
    if len(data) > MAX_BYTES:
        raise _oversized(len(data))
    head = _HEAD.match(data[:_MAX_HEAD])
    if head is None:
        raise NotSealed(
            f"the file is not a bundle sealed as {FORMAT}, or ends within its first lines",
            remedy=f"give what `gdshare seal` wrote, or {_ASK}",
        )
    mine = fingerprint(key.public_key())
    if head["to"].decode("ascii") != mine:
        raise SealedForAnother(
            f"sealed to the key {head['to'].decode('ascii')[:16]}..., and this is {mine[:16]}...",
            remedy="open it with that key, or ask the hospital to seal it to this one",
        )
    body = data[head.end() :]
    _check_length(len(body), int(head["length"]))
    try:
        content = _SUITE.decrypt(body, key, info=head[0])
    except InvalidTag:
        raise BrokenSeal(
            "the sealed bundle was altered on its way, or its first lines were", remedy=_ASK
        ) from None
    files = _split(content)
    site, digest = _identify(files)
    if (site.encode("ascii"), digest.encode("ascii")) != (head["site"], head["digest"]):
        raise PassedOff(
            f"what was sealed is a bundle of {site} with the digest {digest}, not the "
            "one that the first lines name",
            remedy="ask the hospital, and whoever carried it",
        )
    return files


def read_sealed(path: Path) -> bytes:
    """Read a sealed bundle from the disk, within the size bound.

    Raises:
        UnreadableBundle, NotAPlainFile, Oversized: what their names say.
    """
    try:
        return read_plain(path, MAX_BYTES)
    except NotPlainError:
        raise NotAPlainFile("is no plain file", path, "name the sealed bundle itself") from None
    except TooLargeError:
        raise _oversized(path.stat().st_size) from None
    except OSError as fault:
        raise UnreadableBundle(
            f"cannot be read ({fault.strerror})", path, "give the path of what `gdshare seal` wrote"
        ) from None


def _head(to: str, site: str, digest: str, length: int) -> bytes:
    lines = (FORMAT, f"to {to}", f"site {site}", f"digest {digest}", f"length {length}", "", "")
    return "\n".join(lines).encode("ascii")


def _identify(files: Mapping[str, bytes]) -> tuple[str, str]:
    """The site and the digest of a bundle whose files are the ones its signature lists."""
    statement = read_statement(read_envelope(files[SIGNATURE], SIGNATURE).payload, WHERE)
    check_digests(files, listed_digests(statement))
    return Manifest.from_bytes(files[MANIFEST]).site, statement.digest


def _check_length(length: int, announced: int) -> None:
    if length < announced:
        raise CutShort(f"the sealed bundle ends after {length} of {announced} bytes", remedy=_ASK)
    if length > announced:
        raise TrailingBytes(
            f"{length - announced} bytes follow after the end of the sealed bundle",
            remedy=f"{_ASK}, and find out who added them",
        )


def _split(content: bytes) -> dict[str, bytes]:
    files, at = {}, 0
    for name in _ORDER:
        begin = at + _LENGTH.size
        if begin > len(content):
            raise CutShort(f"what was sealed ends before {name}", remedy=_ASK)
        (length,) = _LENGTH.unpack(content[at:begin])
        check_size(name, length)
        at = begin + length
        if at > len(content):
            raise CutShort(f"what was sealed ends within {name}", remedy=_ASK)
        files[name] = content[begin:at]
    if at < len(content):
        raise TrailingBytes(
            f"{len(content) - at} bytes were sealed after the last file", remedy=_ASK
        )
    return files


def _oversized(size: int) -> Oversized:
    return Oversized(f"{size} bytes, where a sealed bundle has {MAX_BYTES} at most", remedy=_ASK)
