"""The terms on which a bundle leaves: for what, to whom, and for how long."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gdshare.signing.names import SiteName

PURPOSE: Final = "training and evaluating classifiers of X-ray films"


class Terms(BaseModel):
    """Terms of use, from the hospital's policy; a reader's promise, which nothing enforces.

    Attributes:
        purpose: one sentence of printable ASCII.
        recipients: short names of those who may use it, sorted; empty: whoever the hospitals agreed
            on.
        retention_days: days after ``expires`` by which every copy must be deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    purpose: Annotated[str, Field(min_length=1, max_length=300, pattern="^[ -~]+$")] = PURPOSE
    recipients: Annotated[tuple[SiteName, ...], Field(max_length=100)] = ()
    retention_days: Annotated[int, Field(ge=0, le=3660)] = 90

    @property
    def whom(self) -> str:
        """The recipients, for people."""
        return ", ".join(self.recipients) or "whoever the hospitals agreed on"

    @model_validator(mode="after")
    def _recipients_in_one_order(self) -> Self:
        if list(self.recipients) != sorted(set(self.recipients)):
            raise ValueError("recipients must be sorted, each named once")
        return self
