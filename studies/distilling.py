"""A distillation as a cell: resumed piece by piece, and handed to the cells that need it."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from gdshare.cohort import Cohort
from gdshare.distill.folder import RECORD, read_record, read_result
from gdshare.distill.loop import Outcome, Tick, distill
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.networks import INITIALISERS
from gdshare.pooling import Contribution
from studies.runner import Piece

RUN = "run"


def distil_in_piece(cohort: Cohort, settings: Settings, piece: Piece) -> Outcome:
    """Distil into the cell's folder, from the last checkpoint there."""
    run = piece.folder / RUN
    begun = (run / RECORD).exists()
    if not begun:
        shutil.rmtree(run, ignore_errors=True)  # an attempt killed before it wrote its record

    def progress(tick: Tick) -> None:
        if tick.step % settings.checkpoint_every == 0:
            piece.keep()

    return distill(cohort, run, settings, resume=begun, progress=progress)


def contributions(folders: Iterable[tuple[str, Path]]) -> list[Contribution]:
    """What the finished distillations of some hospitals bring to a pooled training.

    Raises:
        RunError: one is not finished, or was made by a gdshare that draws θ0 in another way.
    """
    return [_contribution(site, folder / RUN) for site, folder in folders]


def _contribution(site: str, run: Path) -> Contribution:
    record = read_record(run)
    method, drawn = record.settings.method(), INITIALISERS[record.settings.network]
    if record.initialiser != drawn:
        raise RunError(
            f"{run}: distilled for the θ0 scheme {record.initialiser}, and this gdshare draws "
            f"{drawn}; choose another --out"
        )
    patients, theta0 = record.counts.patients, record.theta0_sha256
    return Contribution(site, read_result(run), method, drawn, patients, theta0)
