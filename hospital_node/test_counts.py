"""The record of test counts: each is given once.

Test films are counted at a single ε per model. If a second ε were answered, an aggregator could try
all of them and choose on test films. Since a model can be altered in its last digit, the number of
models is limited too.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.lock import lock, lock_beside
from gdshare.messages import Reason
from gdshare.metrics import Confusion
from gdshare.storage import write_json
from hospital_node.refusal import RefusedError

FILE = "test-counts.json"


class CountEntry(BaseModel):
    """One answer: SHA-256 of the model and of the cohort's index, the ε, the counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    cohort: str
    epsilon: float
    counts: Confusion


class TestCounts(BaseModel):
    """``test-counts.json``."""

    __test__ = False  # not a test case, for pytest

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-test-counts/1"] = "gdshare-test-counts/1"
    entries: Annotated[tuple[CountEntry, ...], Field(max_length=100_000)] = ()

    def answer_to(self, model: str, cohort: str, epsilon: float, limit: int) -> Confusion | None:
        """The counts given before for this very request; None if it may be answered now.

        Raises:
            RefusedError: this model was answered at another ε, or ``limit`` models were answered.
        """
        same_cohort = [entry for entry in self.entries if entry.cohort == cohort]
        for entry in same_cohort:
            if entry.model == model and entry.epsilon == epsilon:
                return entry.counts
            if entry.model == model:
                raise RefusedError(Reason.TEST_ALREADY_COUNTED)
        if len(same_cohort) >= limit:
            raise RefusedError(Reason.TEST_BUDGET_SPENT)
        return None


def read_test_counts(state: Path) -> TestCounts:
    """Read the record; a folder without one has an empty one.

    Raises:
        RefusedError: it is damaged; test films are not counted until a person has looked into it.
    """
    path = state / FILE
    try:
        return TestCounts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return TestCounts()
    except (OSError, ValidationError) as error:
        raise RefusedError(Reason.FAULT, f"{path}: damaged; look into it by hand") from error


def record_test_counts(state: Path, entry: CountEntry, limit: int) -> Confusion:
    """Add an entry, on the disk on return; of two requests at once only the first is recorded.

    Returns:
        the counts to send: those of the record if the same request was answered meanwhile.

    Raises:
        RefusedError: as ``TestCounts.answer_to``.
        LockedError: another process has locked the record.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock(lock_beside(state / FILE)):
        record = read_test_counts(state)
        earlier = record.answer_to(entry.model, entry.cohort, entry.epsilon, limit)
        if earlier is not None:
            return earlier
        updated = TestCounts(entries=(*record.entries, entry))
        write_json(state / FILE, updated.model_dump(mode="json"))
    return entry.counts
