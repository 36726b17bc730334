"""What became of one file in an import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "released",
    "held",
    "known",
    "refused",
    "not a film",
    "not DICOM",
    "not followed",
    "unreadable",
]
IN_STORE = ("released", "held", "known")
LEFT_OUT = ("not a film", "not DICOM", "not followed", "unreadable")


@dataclass(frozen=True)
class Outcome:
    """The result for one file.

    Attributes:
        path: the file.
        kind: released or held, if imported now; known, if imported before; refused; or, if no film
            was expected in it, why it was left out.
        film: its name in the store.
        reasons: why it is held, refused (with its path) or left out.
    """

    path: Path
    kind: Kind
    film: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)
