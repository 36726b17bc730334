"""One runner for every study: cells done once, shared by processes, resumed, kept in one archive.

A study declares cells: a function, its parameters, a seed, the cells it needs, and the CPU-seconds
it expects to take. ``run`` does those that are not done::

    @dataclass(frozen=True)
    class Training:
        rate: float
        epochs: int

    def cut(piece: Piece, parameters: Protocol) -> Result:
        label_cohort(..., piece.folder / "cohort", parameters)
        return Result({"windows": 900})

    def train(piece: Piece, parameters: Training) -> Result:
        cohort = open_cohort(piece.needs["cohort"].folder / "cohort")
        trainer = Trainer(cohort, parameters, piece.seed, piece.folder)  # finds its checkpoint
        while not trainer.finished:
            trainer.epoch()                # ends with a checkpoint
            piece.keep()                   # counts the CPU-seconds; ends the piece when it is over
        return Result({"score": trainer.score}, {"votes": trainer.votes})

    cohort = Cell("cohort", "cohorts", cut, Protocol(), cpu_seconds=5)
    cells = [cohort] + [
        Cell(f"train-{seed}", "train", train, Training(1e-3, 30), seed, {"cohort": cohort},
             cpu_seconds=1800, resumable=True)
        for seed in range(3)
    ]
    store = Store("example", Path("example-runs"), archive=Path("studies/archive"))
    run(cells, store, say=print)
    results = store.results(cells)         # name -> Result; facts, arrays, CPU-seconds

- **Done once.** A cell's digest covers its name, version, parameters, seed, and the digests of what
  it needs. Its folder is ``OUT/NAME.DIGEST``, so changed parameters never meet old results. Raise
  ``version`` when the function comes to compute something else. Where things lie on this machine is
  no parameter: bind it to the function with ``functools.partial``.
- **In pieces.** A cell is worked at in pieces of at most ``PIECE_S`` CPU-seconds. One that expects
  more must be ``resumable``: it saves its state and calls ``piece.keep()``, or asks ``piece.over``
  where it has to save first. A killed process loses what came after the last ``keep``.
- **Shared.** Processes given the same command share the cells by locks, which die with them.
- **Forecast.** ``run`` says first how many cells are left and what they will take, and again after
  each cell; ``forecast`` returns the same.
- **Archive.** ``ARCHIVE/STUDY.json`` holds every cell's parameters, seed, needs, facts and
  CPU-seconds, ``STUDY.npz`` its arrays as ``NAME/ARRAY``. A cell in it is not done again, unless
  one still to be done needs its files; one in it with other parameters is refused.
"""

from studies.runner.cell import PIECE_S, Cell, Facts, Needed, Piece, PieceOverError, Result
from studies.runner.store import Store, claimed, read_arrays, write_arrays
from studies.runner.work import Forecast, forecast, run

__all__ = [
    "PIECE_S",
    "Cell",
    "Facts",
    "Forecast",
    "Needed",
    "Piece",
    "PieceOverError",
    "Result",
    "Store",
    "claimed",
    "forecast",
    "read_arrays",
    "run",
    "write_arrays",
]
