"""The patch protocol that the sites of a round agree on: geometry, label rule, normalisation.

Source: method.md sections 1 and 3; Li et al. 2020, sections 2.1 and 3.1.
"""

from collections.abc import Mapping
from enum import IntEnum
from math import copysign
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from gdshare.errors import UsageError

Tone = Literal["none", "equalise", "levels", "half"]
"""How a film's gray levels are harmonised before it is cut, see ``gdshare.tone``."""
MAX_ENSEMBLE = 10
"""Largest number of networks that vote together; it bounds the memory of a hospital's node."""


def _no_negative_zero(value: float) -> float:
    if copysign(1.0, value) < 0:
        raise ValueError("zero is written 0.0, not -0.0")
    return value


Fraction = Annotated[
    float, Field(ge=0.0, le=1.0, allow_inf_nan=False), AfterValidator(_no_negative_zero)
]


class PatchClass(IntEnum):
    """The three classes of a patch, in the order of all arrays and soft labels."""

    I = 0  # noqa: E741 - the source's letter for "irrelevant"
    N = 1
    P = 2


CLASSES: tuple[str, ...] = tuple(member.name for member in PatchClass)


class Versioned(BaseModel):
    """A frozen, strict part of files that has changed since bundle format 1.0.

    Attributes:
        SINCE_1_1: field -> the value that a file without it means, whatever the default is now.
        SINCE_1_2: the same of what bundle format 1.2 added.
        SPELLED_IN_1_0: field -> the word for a value in format 1.0 -> the value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    SINCE_1_1: ClassVar[Mapping[str, object]] = {}
    SINCE_1_2: ClassVar[Mapping[str, object]] = {}
    SPELLED_IN_1_0: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_what_1_0_means(cls, values: object, info: ValidationInfo) -> object:
        if not isinstance(values, dict):
            return values
        old = {
            name: words[values[name]]
            for name, words in cls.SPELLED_IN_1_0.items()
            if isinstance(values.get(name), str) and values[name] in words
        }
        if info.mode == "json":
            return {**cls.SINCE_1_1, **cls.SINCE_1_2, **values, **old}
        for name, value in old.items():
            raise ValueError(f"{name} {values[name]} is now called {value}")
        return values

    @property
    def implied(self) -> set[str]:
        """The fields that an earlier format lacks and whose value is the one that this means."""
        later = {**self.SINCE_1_1, **self.SINCE_1_2}
        return {name for name, value in later.items() if getattr(self, name) == value}

    def as_1_1(self) -> dict[str, Any]:
        """The JSON values that format 1.1 has."""
        return self.model_dump(mode="json", exclude=set(self.SINCE_1_2))

    def as_1_0(self) -> dict[str, Any]:
        """The JSON values that format 1.0 has, in its words."""
        values = self.model_dump(mode="json", exclude={*self.SINCE_1_1, *self.SINCE_1_2})
        for name, words in self.SPELLED_IN_1_0.items():
            word_of = {value: word for word, value in words.items()}
            values[name] = word_of.get(values[name], values[name])
        return values


class Protocol(Versioned):
    """The patch protocol. Only bundles with equal protocols can be pooled.

    Attributes:
        patch: side of a window on the film, px (source: 299).
        stride: step between windows, px (source: 50).
        side: side of the network's input after resizing, px (source: 299, no resizing).
        outside: a window with less organ than this fraction is class I (source: 0.01).
        inside: a window with more organ than this fraction is class N or P (source: 0.85).
        mean: subtracted from pixels in [0, 1] after resizing.
        std: then divided by.
        resample_mm: side of the pixels that patch and stride count, mm; on a film with other pixels
            windows are scaled to cover the same area of the patient. None: patch and stride count
            each film's own pixels (source).
        normalisation: "protocol" for the round's constants, "site" for a site's own.
        tone: how each film's gray levels are harmonised before it is cut (source: not given).
    """

    SINCE_1_1: ClassVar[Mapping[str, object]] = {"tone": "none"}

    patch: Annotated[int, Field(ge=8, le=4096)] = 299
    stride: Annotated[int, Field(ge=1, le=4096)] = 50
    side: Annotated[int, Field(ge=8, le=512)] = 32
    outside: Fraction = 0.01
    inside: Fraction = 0.85
    mean: Fraction = 0.5
    std: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] = 0.25
    resample_mm: Annotated[float, Field(ge=0.01, le=10.0, allow_inf_nan=False)] | None = None
    normalisation: Literal["protocol", "site"] = "protocol"
    tone: Tone = "none"

    @model_validator(mode="after")
    def _bounds_leave_a_gap(self) -> Self:
        if self.outside >= self.inside:
            raise ValueError(
                f"outside ({self.outside}) must be below inside ({self.inside}), "
                "or a window could be both outside and inside the organ"
            )
        return self

    def require_same(self, other: "Protocol", name: str) -> None:
        """Refuse ``other``, the protocol of ``name``, if it differs.

        Raises:
            UsageError: it lists every field that differs.
        """
        ours, theirs = self.model_dump(), other.model_dump()
        differing = [
            f"{field} {theirs[field]} instead of {ours[field]}"
            for field in ours
            if ours[field] != theirs[field]
        ]
        if differing:
            raise UsageError(
                f"was made with another patch protocol ({', '.join(differing)})",
                name,
                "make it again with the protocol of the round",
            )
