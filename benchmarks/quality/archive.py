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

    Left out are those that another piece, still to be done, will ask for more than figures: the
    patches of a cohort, say, or the images of a distillation.
    """
    open_pieces = [
        piece for piece in pieces if not done(out, piece.name) and not done(archive, piece.name)
    ]
    asked_for = {need for piece in open_pieces for need in piece.needs}
    for piece in pieces:
        told = done(archive, piece.name) and not done(out, piece.name)
        if told and piece.name not in asked_for:
            _copy(archive / piece.name, out / piece.name)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (source / name).exists():
            write_bytes(target / name, (source / name).read_bytes())
