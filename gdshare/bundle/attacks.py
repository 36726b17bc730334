"""The attacks that were tried on the distilled images, and their results."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gdshare.protocol import Fraction

ATTACK: Final = r"[a-z][a-z-]{0,38}/[1-9][0-9]{0,3}"
"""Name and version of an attack, e.g. ``membership-loss/1``."""
AttackName = Annotated[str, Field(pattern=f"^{ATTACK}$")]


def _three_decimals(value: float) -> float:
    if value != round(value, 3):
        raise ValueError("a figure has three decimals at most: more would be room to hide in")
    return value


Figure = Annotated[Fraction, AfterValidator(_three_decimals)]


class Attack(BaseModel):
    """The result of one attack on the distilled images, run by the hospital before they leave.

    Attributes:
        name: name and version.
        figure: 0 to 1, in thousandths; the higher, the more the attack finds out.
        low, high: its 95% interval over patients.
        unrelated: the figure for images that have nothing to do with the patients.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: AttackName
    figure: Figure
    low: Figure
    high: Figure
    unrelated: Figure

    @model_validator(mode="after")
    def _figure_lies_in_its_interval(self) -> Self:
        if not self.low <= self.figure <= self.high:
            raise ValueError(f"{self.figure} lies outside its interval")
        return self

    @property
    def finds(self) -> bool:
        """Whether the whole interval lies above the figure where nothing is known."""
        return self.low > self.unrelated

    @property
    def at_least(self) -> Self:
        """The same of an attack that may have overlooked more: nothing bounds it from above."""
        return self.model_copy(update={"high": 1.0})

    @property
    def text(self) -> str:
        """For people, such as ``0.512 (0.430 to 0.591; 0.500 where nothing is known)``."""
        return (
            f"{self.figure:.3f} ({self.low:.3f} to {self.high:.3f}; {self.unrelated:.3f} where "
            "nothing is known)"
        )
