"""What is said of a bundle and signed: a withdrawal, a receipt.

The envelope of ``bundle.sig`` (DSSE, ECDSA on P-256) around an in-toto statement whose subject is
the bundle's digest. The predicate's type says what it is, so that none passes for another, nor for
a bundle or an approval; and it can be written in one way only.
"""

from typing import Annotated, ClassVar, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.bundle.errors import Oversized, UnsoundAttestation
from gdshare.bundle.layout import KIB
from gdshare.bundle.model_signing import SUBJECT
from gdshare.errors import BundleError
from gdshare.signing import canonical
from gdshare.signing.envelope import Envelope, check_signature, read_envelope, sign
from gdshare.signing.errors import MalformedSignature
from gdshare.signing.names import HEX_DIGEST, Instant, SiteName
from gdshare.signing.statement import STATEMENT_TYPE

MAX_BYTES = 4 * KIB


class Attestation(BaseModel):
    """What is said.

    Attributes:
        site: the hospital whose bundle it is.
        sequence: the bundle's number.
        at: when, UTC, in whole seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    PREDICATE_TYPE: ClassVar[str]
    WORD: ClassVar[str]
    """What people call it."""

    site: SiteName
    sequence: Annotated[int, Field(ge=1, le=999_999_999)]
    at: Instant

    @property
    def name(self) -> str:
        """The bundle's, ``SITE-SEQUENCE``."""
        return f"{self.site}-{self.sequence}"

    def statement(self, digest: str) -> bytes:
        """Write it in its one form (canonical.compact), of the bundle of this digest."""
        return canonical.compact(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": SUBJECT, "digest": {"sha256": digest}}],
                "predicateType": self.PREDICATE_TYPE,
                "predicate": self.model_dump(mode="json"),
            }
        )

    def signed(self, digest: str, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The file: equal content, digest and key give equal bytes."""
        return sign(self.statement(digest), key).to_bytes()


Kind = TypeVar("Kind", bound=Attestation)


def signer_of(data: bytes, kind: type[Attestation]) -> str:
    """The fingerprint that a file names as its signer's; whether that is so is not known yet.

    Raises:
        UnsoundAttestation: too large, or no signed statement at all.
    """
    try:
        return _envelope(data, kind).hint
    except BundleError as fault:
        raise _unsound(kind, fault) from fault


def read_signed(data: bytes, key: ec.EllipticCurvePublicKey, kind: type[Kind]) -> tuple[Kind, str]:
    """Read a file from a stranger: size, signature, then content.

    Args:
        data: the file.
        key: of whoever must have signed it.
        kind: what it must be.

    Returns:
        what it says, and the digest of the bundle that it says it of.

    Raises:
        UnsoundAttestation: too large, signed with another key, forged, damaged, something else, or
            not in its one form.
    """
    try:
        envelope = _envelope(data, kind)
        check_signature(envelope, key, f"the {kind.WORD}")
        value = canonical.parse(envelope.payload, f"the {kind.WORD}", MalformedSignature)
        try:
            digest = value["subject"][0]["digest"]["sha256"]
            told = kind.model_validate(value["predicate"])
            if not HEX_DIGEST.fullmatch(digest):
                raise TypeError
        except (KeyError, IndexError, TypeError, ValidationError) as fault:
            raise MalformedSignature(f"it is no {kind.WORD}") from fault
        canonical.require_same(envelope.payload, told.statement(digest), f"the {kind.WORD}")
    except BundleError as fault:
        raise _unsound(kind, fault) from fault
    return told, digest


def _envelope(data: bytes, kind: type[Attestation]) -> Envelope:
    if len(data) > MAX_BYTES:
        raise Oversized("too large")
    return read_envelope(data, f"the {kind.WORD}")


def _unsound(kind: type[Attestation], fault: BundleError) -> UnsoundAttestation:
    # The reason's name alone: the messages of envelopes speak of bundle.sig.
    return UnsoundAttestation(
        f"no sound {kind.WORD} ({type(fault).__name__})",
        remedy="ask whoever signed it to send it again",
    )
