"""The record of one film. It holds none of the header's identifiers."""

import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gdshare.films.box import Box
from gdshare.films.value import LEAST_RANGE

NAME = re.compile(r"[fps]-[a-z2-7]{16}")
"""Name of a film, patient or study: a letter for the kind, then 80 random bits in base 32."""
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]

MAX_REVIEWER = 200
"""Characters of a reviewer's name."""

FORMATS = ("PNG", "TIFF", "DICOM")
"""Kinds of films that came by a table, which takes the place of a header."""

State = Literal["held", "released", "rejected"]
Decision = Literal["release", "reject"]


class Frozen(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Review(Frozen):
    """One decision about a film.

    Attributes:
        at: UTC.
        by: the reviewer, in the hospital's own words.
        decision: whether the film may be used.
        blanked: boxes blacked out before the release.
    """

    at: AwareDatetime
    by: Annotated[str, Field(min_length=1, max_length=MAX_REVIEWER)]
    decision: Decision
    blanked: tuple[Box, ...] = ()


class StoredFilm(Frozen):
    """One film of the store.

    Attributes:
        film: its name, from which its files are named.
        patient, study: random names; all films of a patient share the patient's name.
        kind: CR, DX, RF or secondary capture; of a film that a table lists, its file's format.
        rows, columns: px.
        spacing_mm: (down, across) of a pixel; null: unknown.
        burned_in: BurnedInAnnotation of the header; null: absent, which does not mean NO.
        range_used: part of the range from black to white that its pixels used when imported; null:
            imported by an earlier version.
        stray_bits: its values have more bits than its header says; the others are not displayed.
        text: where the detector sees something like text; null: not run yet.
        blanked: boxes blacked out during the import.
        state: held until a person has looked; released for use; rejected, its pixels deleted.
        reviews: every decision, oldest first.
    """

    film: Name
    patient: Name
    study: Name
    kind: str
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]
    spacing_mm: tuple[float, float] | None
    burned_in: Literal["YES", "NO"] | None
    range_used: Annotated[float, Field(ge=0, le=1)] | None = None
    stray_bits: bool = False
    text: tuple[Box, ...] | None = None
    blanked: tuple[Box, ...]
    state: State
    reviews: tuple[Review, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a person should look at it, in words; empty if there is no reason."""
        reasons = []
        if self.burned_in == "YES":
            reasons.append("its header says that text is burned into the image")
        if self.burned_in is None:
            source = "no header says" if self.kind in FORMATS else "its header does not say"
            reasons.append(f"{source} whether text is burned into the image")
        if self.range_used is not None and self.range_used < LEAST_RANGE:
            reasons.append(
                f"its pixels use less than {LEAST_RANGE:.0%} of the range from black to white"
            )
        if self.stray_bits:
            reasons.append("its values have more bits than its header says")
        if self.text:
            places = "1 place" if len(self.text) == 1 else f"{len(self.text)} places"
            reasons.append(f"possible text in {places}")
        return tuple(reasons)
