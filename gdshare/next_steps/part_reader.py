"""Reading a state part by part: what cannot be read is told, and the rest is still read."""

from collections.abc import Callable
from typing import TypeVar

from gdshare.errors import GdshareError

Part = TypeVar("Part")


class PartReader:
    """Collects what cannot be read.

    Attributes:
        faults: a sentence each.
    """

    def __init__(self) -> None:
        """Begin without a fault."""
        self.faults: list[str] = []

    def part(self, read: Callable[[], Part], otherwise: Part) -> Part:
        """What ``read`` gives; or ``otherwise``, and a fault."""
        try:
            return read()
        except GdshareError as error:
            self.faults.append(str(error))
        except OSError as error:
            self.faults.append(f"{error.filename}: {error.strerror}")
        return otherwise
