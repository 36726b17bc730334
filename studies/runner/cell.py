"""A cell of a study, what its function is given, and what it returns."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pydantic import JsonValue, TypeAdapter
from pydantic_core import to_jsonable_python

from gdshare.errors import GdshareError
from gdshare.storage import write_json

PIECE_S = 1200.0
"""CPU-seconds of a piece, at most."""

SECONDS = "seconds.json"

Facts = dict[str, JsonValue]


@dataclass(frozen=True)
class Result:
    """What is known of a cell that is done."""

    facts: Facts = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # too many for the facts
    cpu_seconds: float = 0.0  # over all its pieces; the runner fills it in

    def number(self, name: str) -> float:
        return TypeAdapter(float).validate_python(self.facts[name])

    def numbers(self, name: str) -> list[float]:
        return TypeAdapter(list[float]).validate_python(self.facts[name])


@dataclass(frozen=True)
class Needed:
    """A cell that another one needed: where its files lie, and its result."""

    folder: Path
    result: Result


class PieceOverError(GdshareError):
    """This piece of a cell has had its CPU-seconds; what was kept is taken up by the next."""


def cpu_seconds() -> float:
    """CPU-seconds of this process and of the children that it has waited for."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


@dataclass(frozen=True)
class Piece:
    """A cell at work in this process, for at most ``PIECE_S`` CPU-seconds."""

    folder: Path  # the cell's; what an earlier piece kept is in it
    seed: int = 0
    needs: Mapping[str, Needed] = field(default_factory=dict)  # by role
    before: float = 0.0  # CPU-seconds of earlier pieces, as far as what they did was kept
    began: float = 0.0  # the clock at the start of this piece
    deadline: float = float("inf")  # the clock at which it is over
    clock: Callable[[], float] = cpu_seconds

    @property
    def spent(self) -> float:
        """CPU-seconds of the cell so far."""
        return self.before + self.clock() - self.began

    @property
    def over(self) -> bool:
        """Whether to save and stop; ``keep`` then ends the piece."""
        return self.clock() >= self.deadline

    def keep(self) -> None:
        """Count what is spent so far: a further part of the cell is safe on the disk.

        Raises:
            PieceOverError: the piece is over. Let it pass.
        """
        write_json(self.folder / SECONDS, self.spent)
        if self.over:
            raise PieceOverError("this piece is over", self.folder)


@dataclass(frozen=True, eq=False)
class Cell:
    """A part of a study that is done by itself.

    The function works in ``piece.folder``, and goes on with what the last piece kept there. The
    parameters are all that decides the result beside the seed and what the cell needs: a dataclass,
    a pydantic model, or plain data.
    """

    name: str  # of its folder, and in the archive
    kind: str  # what ``--only`` calls it
    function: Callable[[Piece, Any], Result]
    parameters: object
    seed: int = 0
    needs: Mapping[str, "Cell"] = field(default_factory=dict)  # by role; they are done first
    cpu_seconds: float = 1.0  # expected
    resumable: bool = False  # the function calls ``piece.keep``
    version: int = 1  # of what the function computes

    def __post_init__(self) -> None:
        if self.cpu_seconds > PIECE_S and not self.resumable:
            raise ValueError(f"{self.name}: more than {PIECE_S:.0f} CPU-seconds, not resumable")

    @cached_property
    def identity(self) -> Facts:
        """All that decides its result, as plain data; what it needs is given by name."""
        return {
            "version": self.version,
            "parameters": to_jsonable_python(self.parameters),
            "seed": self.seed,
            "needs": {role: cell.name for role, cell in self.needs.items()},
        }

    @cached_property
    def digest(self) -> str:
        """Of its name, its identity, and the digests of what it needs: 16 hexadecimal digits."""
        needs = [cell.digest for cell in self.needs.values()]
        text = json.dumps([self.name, self.identity, needs], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
