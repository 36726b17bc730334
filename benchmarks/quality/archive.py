"""The figures of finished pieces, kept apart from the gigabytes that they were worked out from.

An archive is small enough to be committed: ``done.json`` and ``seen.npz`` of every finished piece,
and the plan. It holds no patch, image, weight, name or diagnosis. Tables are printed from it where
the films' own tables lie, and a benchmark that was begun on another machine goes on from it.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.claims import DONE, Piece, done
from benchmarks.quality.seen import SEEN
from gdshare.storage import write_bytes

KEPT = (SEEN, DONE)
"""In this order: a piece is done once its last file is there."""


def store(out: Path, archive: Path, pieces: Sequence[Piece]) -> None:
    """Copy what finished pieces tell from ``out`` into ``archive``, unless it is there already."""
    for piece in pieces:
        if done(out, piece.name) and not done(archive, piece.name):
            _copy(out / piece.name, archive / piece.name)


def restore(out: Path, archive: Path, pieces: Sequence[Piece]) -> None:
    """Copy what pieces told back from ``archive`` into ``out``, so that they are not done again.

    Left out are those that will be asked for more than figures by a piece still to be done, or by
    one that is done again for its sake: the images of a distillation, say, and the patches that
    these are distilled from.
    """
    needs = {piece.name: piece.needs for piece in pieces}
    left = [name for name in needs if not done(out, name) and not done(archive, name)]
    again: set[str] = set()
    while left:
        name = left.pop()
        if name not in again:
            again.add(name)
            left += [need for need in needs[name] if not done(out, need)]
    for name in needs:
        if name not in again and done(archive, name) and not done(out, name):
            _copy(archive / name, out / name)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (source / name).exists():
            write_bytes(target / name, (source / name).read_bytes())
