"""How much data a bundle was made from, small counts suppressed.

A count below the hospital's bound is written as ``null``: of three patients with a finding, another
hospital might know two. Counts of a run under a guarantee are noisy: the statistic's answers, and
what follows from them.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from gdshare.method import Counts
from gdshare.protocol import Versioned

SUPPRESS_BELOW: Final = 5
"""The default bound."""

Patients = Annotated[int, Field(ge=0, le=10**9)]
Patches = Annotated[int, Field(ge=0, le=10**12)]


class PublishedCounts(Versioned):
    """``Counts`` as they leave the hospital.

    Attributes:
        patients_negative: training patients without the finding; None: fewer than the bound.
        patients_positive: training patients with it; None likewise.
        patches_i, patches_n, patches_p: training patches of each class.
        suppressed_below: the bound; 0: nothing is suppressed.
        noisy: whether the counts carry the noise of a guarantee. Then they are estimates; the bound
            is applied to them all the same.
    """

    SINCE_1_2: ClassVar[Mapping[str, object]] = {"noisy": False}

    patients_negative: Patients | None
    patients_positive: Patients | None
    patches_i: Patches | None
    patches_n: Patches | None
    patches_p: Patches | None
    suppressed_below: Annotated[int, Field(ge=0, le=1000)]
    noisy: bool = False

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
        """A lower bound of ``patients``: each diagnosis has one at least; about, if noisy."""
        return (self.patients_negative or 1) + (self.patients_positive or 1)


def published_counts(counts: Counts, below: int, noisy: bool = False) -> PublishedCounts:
    """Suppress counts below a bound.

    Args:
        counts: the run's.
        below: the bound, 0 to 1000.
        noisy: whether they carry the noise of a guarantee.
    """
    published = {
        name: None if count < below else count for name, count in counts.model_dump().items()
    }
    return PublishedCounts(**published, suppressed_below=below, noisy=noisy)


def format_count(count: int | None, counts: PublishedCounts) -> str:
    """A count for people, such as ``34``, ``fewer than 5`` or ``about 34 (noisy)``."""
    if count is None:
        return f"fewer than {counts.suppressed_below}{' (noisy)' if counts.noisy else ''}"
    return f"about {count} (noisy)" if counts.noisy else str(count)
