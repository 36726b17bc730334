"""What the store knows of one film. Nothing of it comes from a header's identifiers."""

import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gdshare.films.box import Box

NAME = re.compile(r"[fps]-[a-z2-7]{16}")
"""A film's, patient's or study's name: a letter for the kind, then 80 random bits in base 32."""
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]

MAX_REVIEWER = 200
"""Letters of a reviewer's name."""

State = Literal["held", "released", "rejected"]
Decision = Literal["release", "reject"]


class Frozen(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Review(Frozen):
    """What a person decided, and when.

    Attributes:
        at: when, UTC.
        by: who, in the hospital's own words.
        decision: whether the film may be used.
        blanked: boxes that were made black before.
    """

    at: AwareDatetime
    by: Annotated[str, Field(min_length=1, max_length=MAX_REVIEWER)]
    decision: Decision
    blanked: tuple[Box, ...] = ()


class StoredFilm(Frozen):
    """One film of the store.

    Attributes:
        film: its name, by which its files are called.
        patient, study: random names; films of one patient share the first.
        kind: CR, DX, RF or secondary capture.
        rows, columns: px.
        spacing_mm: (down, across) of a pixel; null: the header did not tell.
        burned_in: what the header says of writing in the pixels; null: nothing, which is no NO.
        text: where the detector sees something like writing; null: it has not looked yet.
        blanked: boxes made black when the film came in.
        state: held until a person has looked; released for use; rejected, its pixels gone.
        reviews: every decision, the oldest first.
    """

    film: Name
    patient: Name
    study: Name
    kind: str
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    spacing_mm: tuple[float, float] | None
    burned_in: Literal["YES", "NO"] | None
    text: tuple[Box, ...] | None = None
    blanked: tuple[Box, ...]
    state: State
    reviews: tuple[Review, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a person should look at it, in words; none where nobody has to."""
        found = []
        if self.burned_in == "YES":
            found.append("its header says that something is written in the picture")
        if self.burned_in is None:
            found.append("its header does not say whether something is written in the picture")
        if self.text:
            places = "1 place" if len(self.text) == 1 else f"{len(self.text)} places"
            found.append(f"something like writing in {places}")
        return tuple(found)
