"""All pieces of a plan, in the order to do them in."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.pieces.claims import Piece
from studies.pneumonia.distilled import distil
from studies.pneumonia.judging import judge_seed
from studies.pneumonia.plan import PneumoniaPlan, distil_name, judge_name, real_name
from studies.pneumonia.real import train_real


def pieces_of(plan: PneumoniaPlan, file: Path, seeds: Iterable[int], out: Path) -> list[Piece]:
    """All pieces, seed after seed, so that whole seeds are done early.

    Args:
        plan: what is measured.
        file: PneumoniaMNIST's, or one like it.
        seeds: one comparison each.
        out: folder of the whole benchmark.
    """
    return [piece for seed in seeds for piece in _of_seed(plan, file, seed, out)]


def _of_seed(plan: PneumoniaPlan, file: Path, seed: int, out: Path) -> list[Piece]:
    ours = Piece(distil_name(seed), "distil", partial(distil, plan, file, seed))
    theirs = [
        Piece(real_name(seed, trial), "real", partial(train_real, plan, file, seed, trial))
        for trial in plan.trials
    ]
    needs = tuple(piece.name for piece in (ours, *theirs))
    judging = Piece(judge_name(seed), "judge", partial(judge_seed, plan, file, seed, out), needs)
    return [ours, *theirs, judging]
