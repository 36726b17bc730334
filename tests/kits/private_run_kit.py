"""The record of a guarantee in a finished run's folder, made here without noise or accountant."""

from pathlib import Path

from gdshare.distill.run_folder import RECORD, read_record
from gdshare.private.account import Budget, Spending
from gdshare.private.query import GRID
from gdshare.private.record import noisy_counts, privacy_digest, privacy_record, write_privacy
from gdshare.private.statistic import Shape, Statistic
from gdshare.storage import write_json

SHAPE = Shape(dimension=4, windows=8)
ACCOUNTANT = "dp-accounting 0.6.0, PLD"


def give_guarantee(
    run: Path,
    spent: float = 7.9971,
    delta: float = 1e-5,
    patients: tuple[int, int, int] = (40, 20, 21),
    accountant: str = ACCOUNTANT,
) -> Path:
    """Make a finished run into one under a guarantee.

    Args:
        run: the run's folder, changed.
        spent: ε; 8 was asked for.
        delta: δ.
        patients: noisy numbers, of those with windows of class I, N and P.
        accountant: its name and version.

    Returns:
        ``privacy.json``.
    """
    irrelevant, negative, positive = patients
    nothing = (0,) * (2 * SHAPE.dimension)
    # A patient's part in a count is the count's weight in the query, in steps of the grid.
    coarse, fine = (round(GRID * weight) for weight in (SHAPE.coarse_weight, SHAPE.fine_weight))
    statistic = Statistic(
        (*nothing, irrelevant * coarse, (negative + positive) * coarse),
        (*nothing, negative * fine, positive * fine),
    )
    spending = Spending((1.3, 0.7), spent, accountant)
    write_privacy(run, privacy_record(Budget(8.0, delta), spending, SHAPE, statistic, "e" * 64))
    record = read_record(run).model_copy(
        update={"counts": noisy_counts(statistic, SHAPE), "privacy_sha256": privacy_digest(run)}
    )
    write_json(run / RECORD, record.model_dump(mode="json"))
    return run / "privacy.json"
