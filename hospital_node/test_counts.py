"""Which test counts were given, so that each is given once.

Test films are counted at one ε for a model. Were a second ε answered, an aggregator could walk
through all of them and choose on test films; and since a model can be altered in its last digit,
the number of models is bounded too.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class Ledger(BaseModel):
    """``test-counts.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-test-counts/1"] = "gdshare-test-counts/1"
    entries: Annotated[tuple[CountEntry, ...], Field(max_length=100_000)] = ()

    def answered(self, model: str, cohort: str, epsilon: float, limit: int) -> Confusion | None:
        """The counts given before for this very question, or None if it may be answered now.

        Raises:
            RefusedError: another ε was answered for this model, or ``limit`` models were.
        """
        given = [entry for entry in self.entries if entry.cohort == cohort]
        for entry in given:
            if entry.model == model and entry.epsilon == epsilon:
                return entry.counts
            if entry.model == model:
                raise RefusedError(Reason.TEST_ALREADY_COUNTED)
        if len(given) >= limit:
            raise RefusedError(Reason.TEST_BUDGET_SPENT)
        return None

    def with_entry(self, entry: CountEntry) -> "Ledger":
        """The ledger with one more answer."""
        return Ledger(entries=(*self.entries, entry))


def read_ledger(state: Path) -> Ledger:
    """Read the ledger; a folder without one has an empty one.

    Raises:
        RefusedError: it is damaged; then nothing is counted until a person has looked.
    """
    path = state / FILE
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValidationError) as error:
        raise RefusedError(Reason.FAULT, f"{path}: damaged; look into it by hand") from error


def write_ledger(state: Path, ledger: Ledger) -> None:
    """Replace the ledger; on return it is on the disk."""
    write_json(state / FILE, ledger.model_dump(mode="json"))


@contextmanager
def sole_user(state: Path) -> Iterator[None]:
    """Hold the state folder, so that two questions at once cannot both be the first."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
