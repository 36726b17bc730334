"""The record of counts: each is given once, and only so many are given.

Test films are counted at a single ε per model. If a second ε were answered, an aggregator could try
all of them and choose on test films. Since a model can be altered in its last digit, and every
further model tells a little more of the films, the number of models is limited, for validation and
for test films.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gdshare.errors import LockedError
from gdshare.lock import lock, lock_beside
from gdshare.messages import Counts, Reason
from gdshare.metrics import Confusion
from gdshare.plain_files import MAX_TABLE, read_plain
from gdshare.signing.names import Instant, hour_of
from gdshare.storage import write_json
from hospital_node.noise import epsilon_of
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings

FILE = "test-counts.json"
"""Of the time when test films alone were recorded; under another name they would be lost."""


LOCK_S = 60.0
"""How long to wait for somebody else who writes into it, and then the question is ``busy``. An
honest writer reads and writes one small file meanwhile: whoever takes a minute is stopped or hangs.
No counts are lost by it, since the round asks again."""


@dataclass(frozen=True)
class Question:
    """What is asked, for the record.

    Attributes:
        model: SHA-256 of what votes.
        cohort: SHA-256 of the cohort's index.
        epsilon: of test films; None: validation films.
        tied: whether the node trained the model itself, from bundles.
    """

    model: str
    cohort: str
    epsilon: float | None
    tied: bool = field(compare=False)


@dataclass(frozen=True)
class Limits:
    """How much may be told of each split, ever.

    Attributes:
        validation, test: models.
        untied: of these, such as the node did not train itself.
        noise_budget: the ε of all answers together, at ``noise.DELTA``; None: no limit.
    """

    validation: int
    test: int
    untied: int
    noise_budget: float | None = None

    @classmethod
    def of(cls, settings: NodeSettings) -> Self:
        """The site's own."""
        return cls(
            settings.validation_models,
            settings.test_models,
            settings.untied_models,
            settings.noise_budget,
        )


class Answer(BaseModel):
    """A question and the counts that were sent.

    In ``/1`` only those of test films were recorded, and before ``/3`` not when.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    cohort: str
    epsilon: float | None
    counts: Annotated[tuple[Confusion, ...], Field(min_length=1, max_length=100)]
    suppress_below: int = 1
    tied: bool = False
    noise: float = 0.0
    noise_variance: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    at: Instant | None = None

    @field_validator("counts", mode="before")
    @classmethod
    def _as_of_several_thresholds(cls, counts: object) -> object:
        return (counts,) if isinstance(counts, dict) else counts

    @classmethod
    def to(
        cls,
        question: Question,
        counts: Counts,
        variance: float | None = None,
        at: datetime | None = None,
    ) -> Self:
        """The answer to a question, with noise of a variance in each bin, and the hour of it."""
        return cls(
            model=question.model,
            cohort=question.cohort,
            epsilon=question.epsilon,
            counts=tuple(counts.confusions),
            suppress_below=counts.suppress_below,
            tied=question.tied,
            noise=counts.noise,
            noise_variance=variance,
            at=None if at is None else hour_of(at),
        )

    @property
    def question(self) -> Question:
        """What was asked."""
        return Question(self.model, self.cohort, self.epsilon, self.tied)

    @property
    def sent(self) -> Counts:
        """The counts."""
        return Counts(self.counts, self.suppress_below, self.noise)


class CountRecord(BaseModel):
    """``test-counts.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-test-counts/1", "gdshare-test-counts/2", "gdshare-test-counts/3"] = (
        "gdshare-test-counts/3"
    )
    entries: Annotated[tuple[Answer, ...], Field(max_length=100_000)] = ()

    def answer_to(
        self, question: Question, limits: Limits, variance: float | None = None
    ) -> Answer | None:
        """The answer given before to this very question; None if it may be answered now.

        Args:
            question: what is asked.
            limits: the site's own.
            variance: of the noise with which it would be answered.

        Raises:
            RefusedError: test films were counted for this model at another ε, or a limit is
                reached.
        """
        same_films = self._of_the_same_films(question)
        for entry in same_films:
            if entry.question == question:
                return entry
            if entry.model == question.model:
                raise RefusedError(Reason.TEST_ALREADY_COUNTED)
        untied = sum(not entry.tied for entry in same_films)
        if not question.tied and untied >= limits.untied:
            raise RefusedError(Reason.MODEL_UNTIED)
        test = question.epsilon is not None
        spent = Reason.TEST_BUDGET_SPENT if test else Reason.VALIDATION_BUDGET_SPENT
        if len(same_films) >= (limits.test if test else limits.validation):
            raise RefusedError(spent)
        budget = limits.noise_budget
        if budget is not None and self.epsilon_spent(question, variance) > budget:
            raise RefusedError(spent, f"the answers would spend more than ε = {budget}")
        return None

    def epsilon_spent(self, question: Question, variance: float | None = None) -> float:
        """The ε of all noisy answers about the same films, and of one more with this variance."""
        earlier = [entry.noise_variance for entry in self._of_the_same_films(question)]
        return epsilon_of([value for value in (*earlier, variance) if value is not None])

    def _of_the_same_films(self, question: Question) -> list[Answer]:
        test = question.epsilon is not None
        return [
            entry
            for entry in self.entries
            if entry.cohort == question.cohort and (entry.epsilon is not None) == test
        ]


def read_counts(state: Path) -> CountRecord:
    """Read the record; a folder without one has an empty one.

    Raises:
        RefusedError: it is damaged; nothing is counted until a person has looked into it.
    """
    path = state / FILE
    try:
        return CountRecord.model_validate_json(read_plain(path, MAX_TABLE))
    except FileNotFoundError:
        return CountRecord()
    except (OSError, ValidationError) as error:
        raise RefusedError(Reason.FAULT, f"{path}: damaged; look into it by hand") from error


def record_counts(state: Path, answer: Answer, limits: Limits) -> Answer:
    """Add an answer, on the disk on return; of two questions at once only the first is recorded.

    Returns:
        the answer to send: that of the record if the same question was answered meanwhile.

    Raises:
        RefusedError: as ``CountRecord.answer_to``; or another process keeps the record locked.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return _record(state, answer, limits)
    except LockedError as error:
        raise RefusedError(Reason.BUSY, str(error)) from error


def _record(state: Path, answer: Answer, limits: Limits) -> Answer:
    with lock(lock_beside(state / FILE), LOCK_S):
        record = read_counts(state)
        earlier = record.answer_to(answer.question, limits, answer.noise_variance)
        if earlier is not None:
            return earlier
        updated = CountRecord(entries=(*record.entries, answer))
        write_json(state / FILE, updated.model_dump(mode="json"))
    return answer
