"""Making a bundle: from a run's record to six signed files, in memory."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from gdshare.bundle.attacks import Attack
from gdshare.bundle.counts import SUPPRESS_BELOW, published_counts
from gdshare.bundle.croissant import croissant
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.digests import digests_of, statement_of
from gdshare.bundle.guarantee import Guarantee
from gdshare.bundle.layout import CROISSANT, MANIFEST, PREVIEW, README, SIGNATURE, TENSORS
from gdshare.bundle.manifest import FORMAT_1_1, FORMAT_1_2, Manifest, first_problem
from gdshare.bundle.terms import Terms
from gdshare.bundle.verify import verify_files
from gdshare.distilled import Distilled
from gdshare.errors import UsageError
from gdshare.method import RunRecord
from gdshare.signing.names import hour_of
from gdshare.signing.statement import sign_statement

TERMS = Terms()
"""The default."""


def describe_run(
    record: RunRecord,
    *,
    site: str,
    sequence: int,
    now: datetime,
    lifetime: timedelta,
    terms: Terms = TERMS,
    suppress_below: int = SUPPRESS_BELOW,
    attacks: tuple[Attack, ...] = (),
    privacy: Guarantee | None = None,
) -> Manifest:
    """The manifest of a run: its method, protocol and counts, never its seed.

    The creation time is rounded down to the hour, so that it says little about when somebody was at
    work; bundles are ordered by their sequence numbers.

    Args:
        record: ``run.json``.
        site: the hospital's short name.
        sequence: this bundle's number.
        now: the site's clock, in UTC.
        lifetime: from creation to expiry.
        terms: for what, to whom and for how long it leaves.
        suppress_below: counts below this are suppressed.
        attacks: the attacks that were tried, sorted by name.
        privacy: the guarantee that the run was made under: its counts are noisy, and the bundle is
            of format 1.2.

    Raises:
        UsageError: a name, number or time that the format does not allow.
    """
    created = hour_of(now)
    try:
        return Manifest(
            format=FORMAT_1_1 if privacy is None else FORMAT_1_2,
            site=site,
            sequence=sequence,
            created=created,
            expires=created + lifetime,
            classes=record.classes,
            protocol=record.protocol,
            initialiser=record.initialiser,
            theta0_sha256=record.theta0_sha256,
            method=record.settings.method(),
            counts=published_counts(record.counts, suppress_below, privacy is not None),
            attacks=attacks,
            privacy=privacy,
            terms=terms,
        )
    except ValidationError as fault:
        raise UsageError(
            f"this bundle cannot be described: {first_problem(fault)}",
            remedy="see docs/bundle-format.md for what each field allows",
        ) from None


def content_files(manifest: Manifest, distilled: Distilled, preview_png: bytes) -> dict[str, bytes]:
    """Write the five files that a signature covers, from manifest and tensors and nothing else.

    Args:
        manifest: what the bundle says about itself.
        distilled: the tensors.
        preview_png: a picture drawn from ``distilled`` and nothing else.
    """
    return {
        README: datasheet(manifest, distilled).encode(),
        CROISSANT: croissant(manifest, distilled),
        TENSORS: distilled.to_bytes(),
        MANIFEST: manifest.to_bytes(),
        PREVIEW: preview_png,
    }


def build_files(
    manifest: Manifest,
    distilled: Distilled,
    preview_png: bytes,
    key: ec.EllipticCurvePrivateKey,
) -> dict[str, bytes]:
    """Make the six files and check them by the reader's own rules before they leave.

    Args:
        manifest: what the bundle says about itself.
        distilled: the tensors.
        preview_png: a picture drawn from ``distilled`` and nothing else.
        key: signs.

    Returns:
        file name -> content; equal arguments give equal bytes.

    Raises:
        BundleError: the tensors do not fit the manifest, or something is too large.
    """
    files = content_files(manifest, distilled, preview_png)
    files[SIGNATURE] = sign_statement(statement_of(digests_of(files)), key)
    verify_files(files, key.public_key(), manifest.created, manifest.site)
    return files
