"""``trial.json``: a trial's result, as far as its page needs it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from gdshare.errors import RunError
from gdshare.metrics import Confusion, Interval, Intervals
from gdshare.plain_files import MAX_TABLE, read_plain

TRIAL, ALL = "trial.json", "all sites"
POOLED, REAL = "pooled", "real patches, pooled"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Figures(_Part):
    """A model's figures on one site's test films, or on all."""

    counts: Confusion
    harmonic_mean: float
    intervals: Intervals
    auc: float | None
    auc_interval: Interval | None


class Score(_Part):
    """A patch score on test patients."""

    mean: float


class Line(_Part):
    """A model of the comparison."""

    trained_from: str
    images: int
    patch_score: Score
    threshold: float
    figures: dict[str, Figures]

    @property
    def all_sites(self) -> Figures:
        """On all test films together."""
        return self.figures[ALL]


class HospitalFacts(_Part):
    """What a hospital put in."""

    bundle: str
    bundle_bytes: int
    distil_seconds: float
    training_patients: int
    validation_patch_score: float


class TrialFile(_Part):
    """``trial.json``, as far as the page needs it."""

    settings: dict[str, JsonValue]
    protocol: dict[str, JsonValue]
    pooling: str
    hospitals: dict[str, HospitalFacts]
    bytes_moved: dict[str, int]
    round_seconds: dict[str, float]
    lines: tuple[Line, ...]

    def line(self, name: str) -> Line:
        """The model trained from this.

        Raises:
            RunError: there is none.
        """
        lines = [own for own in self.lines if own.trained_from == name]
        if not lines:
            raise RunError(f"has no model trained from {name}", TRIAL, "run the trial again")
        return lines[0]

    @property
    def alone(self) -> list[Line]:
        """Each hospital's bundle alone."""
        return [own for own in self.lines if own.trained_from not in (POOLED, REAL)]


def read_trial(folder: Path) -> TrialFile:
    """Read a trial's result.

    Raises:
        RunError: not there, or damaged.
    """
    path = folder / TRIAL
    try:
        return TrialFile.model_validate_json(read_plain(path, MAX_TABLE))
    except OSError as error:
        raise RunError(f"no finished trial here ({error.strerror})", path) from error
    except ValidationError as error:
        raise RunError("damaged or of another version", path, "run the trial again") from error
