"""A receipt: an aggregator tells a hospital what became of its bundle, and where that stands."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gdshare.bundle.attestation import Attestation
from gdshare.signing.names import Digest, SiteName


class Receipt(Attestation):
    """What the aggregator's key signs.

    Attributes:
        site, sequence: the bundle's.
        at: when the aggregator recorded it, by its clock.
        aggregator: its short name.
        verdict: what became of the bundle.
        reason: the refusal's name; empty where it was not refused.
        line, sha256: number and SHA-256 of the line in the aggregator's ledger: an anchor, with
            which a ledger that is written anew later no longer agrees.
    """

    PREDICATE_TYPE: ClassVar[str] = "https://gdshare/receipt/v1"
    WORD: ClassVar[str] = "receipt"

    aggregator: SiteName
    verdict: Literal["admitted", "refused", "quarantined", "withdrawn"]
    reason: Annotated[str, Field(pattern="^([A-Za-z][A-Za-z-]{0,39})?$")]
    line: Annotated[int, Field(ge=1, le=999_999_999)]
    sha256: Digest

    @model_validator(mode="after")
    def _refusals_have_a_reason(self) -> Self:
        if (self.verdict == "refused") != bool(self.reason):
            raise ValueError("a refusal names its reason, and nothing else does")
        return self
