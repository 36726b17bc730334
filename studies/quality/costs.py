"""What finished pieces cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pieces.claims import Piece, done, facts, seconds_of


@dataclass(frozen=True)
class Spent:
    """CPU-seconds of a piece that is done."""

    piece: str
    kind: str
    seconds: float


def spent_on(out: Path, pieces: Iterable[Piece]) -> tuple[Spent, ...]:
    """Every piece that is done.

    Raises:
        RunError: the record of a piece is damaged.
    """
    return tuple(
        Spent(one.name, one.kind, seconds_of(facts(out, one.name)))
        for one in pieces
        if done(out, one.name)
    )


def by_kind(spent: Sequence[Spent]) -> dict[str, float]:
    """CPU-seconds of each kind of piece."""
    kinds = dict.fromkeys(one.kind for one in spent)
    return {kind: sum(one.seconds for one in spent if one.kind == kind) for kind in kinds}
