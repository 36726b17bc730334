"""A withdrawal: the hospital takes a bundle back."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from gdshare.bundle.attestation import Attestation
from gdshare.signing.names import hour_of

MAX_REASON = 300


class Withdrawal(Attestation):
    """What the hospital's key signs.

    Attributes:
        site, sequence: the bundle's.
        at: the hour in which it was taken back.
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
