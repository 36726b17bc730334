"""A film as a table lists it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ListedFilm:
    """A line of a table of films.

    Attributes:
        line: the table and the line in it, for messages.
        patient: the site's own name for the patient.
        image: path of the film.
        mask: path of the organ's mask or outline; None: not outlined yet.
        positive: the patient's diagnosis; None: not known yet.
        spacing_mm: side of a pixel, mm; None to use the file's.
    """

    line: str
    patient: str
    image: Path
    mask: Path | None
    positive: bool | None
    spacing_mm: float | None
