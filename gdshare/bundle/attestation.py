"""Signed statements about a bundle: a withdrawal by its hospital, a receipt by an aggregator.

Each is a ``gdshare.signing.statement`` whose subject is the bundle's digest. Its predicate type
tells the kinds apart, so that none passes for another, nor for a bundle or an approval.
"""

from typing import Annotated, ClassVar, Literal, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gdshare.bundle.digests import SUBJECT
from gdshare.bundle.errors import UnsoundAttestation
from gdshare.errors import BundleError
from gdshare.signing import canonical
from gdshare.signing.errors import MalformedSignature
from gdshare.signing.names import Digest, Instant, SiteName, hour_of
from gdshare.signing.statement import Statement, sign_statement, signer_of, verify_statement

MAX_BYTES = 4 * 1024
MAX_REASON = 300


class Attestation(BaseModel):
    """What is signed about a bundle.

    Attributes:
        site: the bundle's hospital.
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
        """The bundle's name, ``SITE-SEQUENCE``."""
        return f"{self.site}-{self.sequence}"

    def statement(self, digest: str) -> Statement:
        """The statement about the bundle of this digest."""
        return Statement(SUBJECT, digest, self.PREDICATE_TYPE, self.model_dump(mode="json"))

    def signed(self, digest: str, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The signed file: equal content, digest and key give equal bytes."""
        return sign_statement(self.statement(digest), key)


class Withdrawal(Attestation):
    """A hospital takes its bundle back.

    Attributes:
        site, sequence: the bundle's.
        at: the hour in which it was withdrawn.
        reason: printable ASCII; empty where the hospital keeps it to itself.
    """

    PREDICATE_TYPE: ClassVar[str] = "https://gdshare/withdrawal/v1"
    WORD: ClassVar[str] = "withdrawal"

    reason: Annotated[str, Field(max_length=MAX_REASON, pattern="^[ -~]*$")] = ""

    @model_validator(mode="after")
    def _to_the_hour(self) -> Self:
        if self.at != hour_of(self.at):
            raise ValueError("at must be a whole hour, UTC")
        return self


class Receipt(Attestation):
    """An aggregator confirms to a hospital what became of its bundle.

    Attributes:
        site, sequence: the bundle's.
        at: when the aggregator recorded it, by its clock.
        aggregator: its short name.
        verdict: what became of the bundle.
        reason: the refusal's name; empty where it was not refused.
        line, sha256: number and SHA-256 of the line in the aggregator's ledger: an anchor, which a
            ledger that is rewritten later no longer matches.
    """

    PREDICATE_TYPE: ClassVar[str] = "https://gdshare/receipt/v1"
    WORD: ClassVar[str] = "receipt"

    aggregator: SiteName
    verdict: Literal["admitted", "refused", "quarantined", "withdrawn"]
    reason: Annotated[str, Field(pattern="^([A-Za-z][A-Za-z-]{0,39})?$")]
    line: Annotated[int, Field(ge=1, le=999_999_999)]
    sha256: Digest

    @model_validator(mode="after")
    def _only_refusals_have_a_reason(self) -> Self:
        if (self.verdict == "refused") != bool(self.reason):
            raise ValueError("a refusal names its reason, and nothing else does")
        return self


Kind = TypeVar("Kind", bound=Attestation)


def claimed_signer(data: bytes, kind: type[Attestation]) -> str:
    """The fingerprint of the key that a file claims to be signed with; nothing is verified.

    Raises:
        UnsoundAttestation: too large, or not a signed statement.
    """
    try:
        return signer_of(data, f"the {kind.WORD}", MAX_BYTES)
    except BundleError as error:
        raise _unsound(kind, error) from error


def read_signed(data: bytes, key: ec.EllipticCurvePublicKey, kind: type[Kind]) -> tuple[Kind, str]:
    """Read a file from a stranger: size, signature, then content.

    Args:
        data: the file.
        key: whoever must have signed it.
        kind: what it must be.

    Returns:
        the attestation, and the digest of the bundle it is about.

    Raises:
        UnsoundAttestation: too large, signed with another key, forged, damaged, of another kind, or
            not in its one form.
    """
    where = f"the {kind.WORD}"
    try:
        statement = verify_statement(data, key, where, MAX_BYTES)
        try:
            attestation = kind.model_validate(statement.predicate)
        except ValidationError as error:
            raise MalformedSignature(f"not a {kind.WORD}") from error
        expected = attestation.statement(statement.digest)
        canonical.require_same(statement.to_bytes(), expected.to_bytes(), where)
    except BundleError as error:
        raise _unsound(kind, error) from error
    return attestation, statement.digest


def _unsound(kind: type[Attestation], error: BundleError) -> UnsoundAttestation:
    return UnsoundAttestation(
        f"not a sound {kind.WORD} ({type(error).__name__})",
        remedy="ask whoever signed it to send it again",
    )
