"""One runner for every study: cells done once, shared by processes, resumed, kept in one archive.

A study declares cells: a function, its parameters, a seed, the cells it needs, and the CPU-seconds
it expects. ``run`` says what is left and what it will take, and does it.

- **Done once.** A cell's digest covers its name, version, parameters, seed, and the digests of what
  it needs. Its folder is ``OUT/NAME.DIGEST``, so changed parameters never meet old results. Raise
  ``version`` when the function comes to compute something else. Where things lie on this machine is
  no parameter: bind it to the function with ``functools.partial``.
- **In pieces.** A cell is worked at in pieces of at most ``PIECE_S`` CPU-seconds. One that expects
  more must be ``resumable``: it saves its state and calls ``piece.keep()``, or asks ``piece.over``
  where it has to save first. A killed process loses what came after the last ``keep``.
- **Shared.** Processes given the same command share the cells by locks, which die with them.
- **Archive.** ``ARCHIVE/STUDY.json`` holds every cell's parameters, seed, needs, facts and
  CPU-seconds, ``STUDY.npz`` its arrays as ``NAME/ARRAY``. A cell in it is not done again, unless
  one still to be done needs its files; one in it with other parameters is refused.
"""

from studies.runner.cell import PIECE_S, Cell, Facts, Needed, Piece, Result
from studies.runner.store import Store, claimed, read_arrays, write_arrays
from studies.runner.work import forecast, run

__all__ = [
    "PIECE_S",
    "Cell",
    "Facts",
    "Needed",
    "Piece",
    "Result",
    "Store",
    "claimed",
    "forecast",
    "read_arrays",
    "run",
    "write_arrays",
]
