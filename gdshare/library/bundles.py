"""Reading a bundle for a program: verified, or said to be unverified. Needs no torch."""

from datetime import UTC, datetime
from pathlib import Path

from gdshare.bundle import read_folder, read_unverified, verify_files
from gdshare.errors import BundleError, UsageError
from gdshare.library.images import DistilledImages
from gdshare.protocol import CLASSES
from gdshare.signing import load_public_key


def load_bundle(
    folder: Path,
    key: Path | None = None,
    *,
    unverified: bool = False,
    now: datetime | None = None,
) -> DistilledImages:
    """Read a hospital's bundle, and check it by the rules of ``gdshare verify``.

    Args:
        folder: the bundle's.
        key: the hospital's public key, NAME.pub.
        unverified: read it without a key: every rule but the signature's holds, so anybody may have
            made it. The result's ``signature`` says so.
        now: the reader's clock, with a time zone; None: this machine's.

    Raises:
        UsageError: neither a key nor ``unverified``, or both.
        BundleError: malformed, altered, expired, or signed with another key.
        KeyFileError: the key cannot be read.
    """
    if (key is None) is not unverified:
        what = "a key and unverified were given" if unverified else "no key to verify it with"
        raise UsageError(what, folder, "give key=Path('NAME.pub'), or unverified=True")
    moment = now or datetime.now(UTC)
    try:
        files = read_folder(folder)
        if key is None:
            bundle = read_unverified(files, moment)
        else:
            bundle = verify_files(files, load_public_key(key), moment)
    except BundleError as error:
        raise error.at(folder) from error
    manifest = bundle.manifest
    return DistilledImages(
        name=manifest.site,
        tensors=bundle.distilled,
        classes=CLASSES,
        protocol=manifest.protocol,
        method=manifest.method,
        initialiser=manifest.initialiser,
        theta0_sha256=manifest.theta0_sha256,
        patients=manifest.counts.patients_at_least,
        score=None,
        signature="not checked" if key is None else "verified",
        manifest=manifest,
    )
