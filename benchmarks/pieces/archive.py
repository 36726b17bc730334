"""The figures of finished pieces, kept apart from the gigabytes that they were worked out from.

An archive is small enough to be committed: ``done.json`` and ``seen.npz`` of every finished piece,
and the plan. It holds no patch, image, weight, name or diagnosis. Tables are printed from it where
the films' own tables lie, and a benchmark that was begun on another machine goes on from it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from benchmarks.pieces.claims import DONE, Clock, Piece, do_pieces, done
from benchmarks.pieces.record import open_plan
from gdshare.storage import write_bytes

SEEN = "seen.npz"
"""Counts of a piece that are too many for its facts."""

KEPT = (SEEN, DONE)
"""In this order: a piece is done once its last file is there."""


def open_plans(
    out: Path, archive: Path | None, plan: Mapping[str, JsonValue], tables: Mapping[str, str]
) -> None:
    """Note what is measured in both folders, or check that it is the same as before.

    Raises:
        RunError: one of them holds pieces of another plan, of other data, or of another torch.
    """
    open_plan(out, plan, tables)
    if archive:
        open_plan(archive, plan, tables, "--archive")


def do_kept(
    out: Path,
    archive: Path | None,
    pieces: Sequence[Piece],
    say: Callable[[str], None],
    wanted: Sequence[Piece] | None = None,
    clock: Clock = time.process_time,
) -> None:
    """Do every piece whose figures are not there yet, and keep them in ``archive`` as well.

    Args:
        out: folder of the whole benchmark.
        archive: a small folder; None: there is none.
        pieces: all of them, in the order to do them in.
        say: told of each piece's start and end.
        wanted: those to do; None: all, and with none nothing is written but to ``archive``.
        clock: CPU-seconds that count as a piece's.
    """

    def keep() -> None:
        if archive:
            store(out, archive, pieces)

    todo = pieces if wanted is None else wanted
    keep()
    if archive and todo:
        restore(out, archive, pieces)
    do_pieces(out, todo, say, clock=clock, after=keep)


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
