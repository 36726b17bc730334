"""A rectangle on a film."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle on a film, px; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
