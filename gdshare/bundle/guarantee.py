"""The guarantee that a hospital states for the patients behind a bundle.

It is the hospital's word: nothing in a bundle lets a reader check it. Its figures have few digits,
since more would be room to hide in, and are rounded up, so that they never state less than was
spent.
"""

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LARGEST_EPSILON: Final = 32.0
SMALLEST_DELTA: Final = 1e-12
DECIMALS: Final = 3
"""Of ε."""
DIGITS: Final = 2
"""Of δ, the leading zeros not counted."""
_NUMBER: Final = r"(0|[1-9][0-9]{0,2})"
ACCOUNTANT: Final = rf"dp-accounting-pld/{_NUMBER}(\.{_NUMBER}){{1,3}}"
"""The accountant and its version."""
OUTSIDE: Final = (
    "Outside the guarantee are: which patients were chosen, and how they were divided into "
    "training, validation and test; the patch protocol, if it was fitted to the films; counts of "
    "validation and test films; and this hospital's own look at its figures. Every other run on "
    "the same patients, tried or released, spends its own ε and δ: they add up."
)
"""What no bundle's guarantee covers, in words."""
UNCHECKED: Final = "This is the hospital's statement: nothing in the bundle lets a reader check it."


def epsilon_stated(spent: float, decimals: int = DECIMALS) -> float:
    """Round ε up to so many decimals."""
    step = Decimal(1).scaleb(-decimals)
    return float(Decimal(repr(spent)).quantize(step, ROUND_CEILING))


def delta_stated(spent: float) -> float:
    """Round δ up to ``DIGITS``, and to ``SMALLEST_DELTA`` at least."""
    exact = Decimal(repr(max(spent, SMALLEST_DELTA)))
    step = Decimal(1).scaleb(exact.adjusted() - DIGITS + 1)
    return float(exact.quantize(step, ROUND_CEILING))


def _few_decimals(epsilon: float) -> float:
    if epsilon != round(epsilon, DECIMALS):
        raise ValueError(f"ε has {DECIMALS} decimals at most: more would be room to hide in")
    return epsilon


def _few_digits(delta: float) -> float:
    if delta != float(f"{delta:.{DIGITS - 1}e}"):
        raise ValueError(f"δ has {DIGITS} digits at most: more would be room to hide in")
    return delta


class Guarantee(BaseModel):
    """(ε, δ)-differential privacy of each training patient, as the hospital states it.

    Attributes:
        mechanism: name and version of what was done (ADR 54).
        unit: whose data one may add or remove: a patient's, with all films.
        adjacency: how neighbouring cohorts differ: by one training patient more or less.
        epsilon: spent, in thousandths, rounded up; above 0, to ``LARGEST_EPSILON``.
        delta: in two digits, rounded up; from ``SMALLEST_DELTA``, below 1.
        accountant: name and version of what counted ε.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    mechanism: Literal["class-means/1"]
    unit: Literal["patient"]
    adjacency: Literal["add-or-remove"]
    epsilon: Annotated[
        float,
        Field(gt=0.0, le=LARGEST_EPSILON, allow_inf_nan=False),
        AfterValidator(_few_decimals),
    ]
    delta: Annotated[
        float, Field(ge=SMALLEST_DELTA, lt=1.0, allow_inf_nan=False), AfterValidator(_few_digits)
    ]
    accountant: Annotated[str, Field(pattern=f"^{ACCOUNTANT}$")]

    @property
    def figures(self) -> str:
        """Such as ``ε 7.998, δ 1e-05``."""
        return f"ε {self.epsilon:g}, δ {self.delta:g}"

    @property
    def text(self) -> str:
        """Such as ``(ε 7.998, δ 1e-05)-differential privacy of each training patient``."""
        return f"({self.figures})-differential privacy of each training {self.unit}"

    @property
    def meaning(self) -> str:
        """What the figures say, in a sentence."""
        return (
            "With or without any one training patient, with all films, whatever anybody concludes "
            f"from this bundle is at most e^{self.epsilon:g} times as likely, but for a chance of "
            f"{self.delta:g}."
        )
