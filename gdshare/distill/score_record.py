"""``score.json`` in a run folder: what its images teach, measured on the hospital's own patients.

It stays at the hospital: the page of ``gdshare prepare`` shows it, and a bundle does not hold it.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.distill.run_folder import RECORD, record_digest
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.plain_files import read_plain
from gdshare.protocol import CLASSES
from gdshare.storage import write_json

SCORE: Final = "score.json"
CHANCE: Final = 1.0 / len(CLASSES)
MAX_BYTES = 64 * 1024
AGAIN = "measure it: give gdshare prepare the cohort that the run was distilled from as well"

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class ScoreRecord(BaseModel):
    """The patch score of a run's result: networks trained from it alone, as a receiver would.

    Attributes:
        tensors_sha256: of the result.
        run_sha256: of the ``run.json`` that it is the result of; None where somebody measured
            afterwards, and in runs of before.
        score: class-balanced accuracy on validation patches, mean over θ0.
        deviation: over θ0.
        low: lower end of the mean's 95% interval.
        inits: number of θ0, none of which chose the result (an announced θ0 is the only one, and
            did).
        windows: validation patches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["gdshare-score/1"] = "gdshare-score/1"
    tensors_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    run_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    score: Share
    deviation: Share
    low: Share
    inits: Annotated[int, Field(ge=1)]
    windows: Annotated[int, Field(ge=1)]

    @property
    def at_chance(self) -> bool:
        """Whether the score is no better than guessing, at the lower end of its interval."""
        return self.low <= CHANCE

    @property
    def text(self) -> str:
        """The figure for people."""
        return (
            f"patch score {self.score:.3f} (95% interval from {self.low:.3f}; "
            f"{CHANCE:.3f} is guessing)"
        )


def write_score(folder: Path, record: ScoreRecord) -> None:
    """Write ``score.json`` into a run's folder, or beside what was prepared from it."""
    write_json(folder / SCORE, record.model_dump(mode="json"))


def read_score(folder: Path, distilled: Distilled) -> ScoreRecord:
    """Read ``score.json`` of a run, or of what was prepared from it.

    Args:
        folder: that holds it.
        distilled: the result it must be about.

    Raises:
        RunError: missing, damaged, or about another result; or ``run.json`` beside it is another
            run's.
    """
    path = folder / SCORE
    try:
        record = ScoreRecord.model_validate_json(read_plain(path, MAX_BYTES))
    except FileNotFoundError as error:
        raise RunError("nobody measured what its images teach", folder, AGAIN) from error
    except (OSError, ValidationError) as error:
        raise RunError("cannot be read", path, AGAIN) from error
    require_about(record, distilled, path)
    if record.run_sha256 is not None and os.path.lexists(folder / RECORD):
        _require_own_run(record.run_sha256, folder)
    return record


def _require_own_run(run_sha256: str, folder: Path) -> None:
    """Refuse a result that was copied beside another run's record, and with it its guarantee."""
    if record_digest(folder) != run_sha256:
        raise RunError(
            "the result is of another run than this, or it was changed since",
            folder / RECORD,
            "restore the files that the run wrote, or distil again",
        )


def require_about(record: ScoreRecord, distilled: Distilled, where: Path) -> None:
    """Refuse the score of another result.

    Raises:
        RunError: it is.
    """
    if record.tensors_sha256 != tensors_digest(distilled):
        raise RunError("is about another result", where, AGAIN)


def tensors_digest(distilled: Distilled) -> str:
    """SHA-256 of a result."""
    return hashlib.sha256(distilled.to_bytes()).hexdigest()
