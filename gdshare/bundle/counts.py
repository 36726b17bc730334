"""How much data a bundle was made from, small counts suppressed.

A count below the hospital's bound is written as ``null``: of three patients with a finding, another
hospital might know two.
"""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gdshare.method import Counts

SUPPRESS_BELOW: Final = 5
"""The default bound."""

Patients = Annotated[int, Field(ge=0, le=10**9)]
Patches = Annotated[int, Field(ge=0, le=10**12)]


class PublishedCounts(BaseModel):
    """``Counts`` as they leave the hospital.

    Attributes:
        patients_negative: training patients without the finding; None: fewer than the bound.
        patients_positive: training patients with it; None likewise.
        patches_i, patches_n, patches_p: training patches of each class.
        suppressed_below: the bound; 0: nothing is suppressed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    patients_negative: Patients | None
    patients_positive: Patients | None
    patches_i: Patches | None
    patches_n: Patches | None
    patches_p: Patches | None
    suppressed_below: Annotated[int, Field(ge=0, le=1000)]

    @model_validator(mode="after")
    def _small_counts_are_suppressed_and_no_others(self) -> Self:
        for name in Counts.model_fields:
            value = getattr(self, name)
            if value is None and self.suppressed_below == 0:
                raise ValueError(f"{name} is left out and suppressed_below is 0")
            if value is not None and value < self.suppressed_below:
                raise ValueError(f"{name} is {value} and below suppressed_below: it must be null")
        return self

    @property
    def patients(self) -> int | None:
        """Training patients in all; None where that would give a suppressed number away."""
        if self.patients_negative is None or self.patients_positive is None:
            return None
        return self.patients_negative + self.patients_positive

    @property
    def patients_at_least(self) -> int:
        """A lower bound of ``patients``: each diagnosis has one at least."""
        return (self.patients_negative or 1) + (self.patients_positive or 1)


def published_counts(counts: Counts, below: int) -> PublishedCounts:
    """Suppress counts below a bound.

    Args:
        counts: the run's.
        below: the bound, 0 to 1000.
    """
    published = {
        name: None if count < below else count for name, count in counts.model_dump().items()
    }
    return PublishedCounts(**published, suppressed_below=below)


def format_count(count: int | None, counts: PublishedCounts) -> str:
    """A count for people, such as ``34`` or ``fewer than 5``."""
    return f"fewer than {counts.suppressed_below}" if count is None else str(count)
