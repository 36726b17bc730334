"""The second act: voting on the site's own films with a model from outside, and counting.

Films, votes and ratios stay here; integers leave. Checked in this order, cheapest first: the form
of the question, a cohort that the site listed, enough films, the site's own protocol, the ledger,
the weights.
"""

import hashlib
from pathlib import Path

from gdshare.cohort import Cohort, open_cohort
from gdshare.errors import CohortError, FilmError, ModelError, UsageError
from gdshare.evaluation import cohort_votes, confusions
from gdshare.messages import (
    CountRequest,
    Fields,
    Reason,
    RequestError,
    Value,
    counts_to_fields,
)
from gdshare.metrics import Confusion
from gdshare.model import Model
from gdshare.networks import digest
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.test_counts import CountEntry, read_ledger, sole_user, write_ledger


def answer_counts(settings: NodeSettings, received: Fields) -> dict[str, Value]:
    """Answer ``evaluate.counts``.

    Raises:
        RefusedError: with the one reason that the network is told.
    """
    question = _read(received)
    cohort = _open(settings.cohort)
    if len(cohort.films_of(question.split)) < settings.minimum_films:
        raise RefusedError(Reason.TOO_FEW_FILMS)
    if question.protocol != cohort.protocol:
        raise RefusedError(Reason.PROTOCOL_DIFFERS)
    model = _load(question)
    if question.epsilon is None:
        return counts_to_fields(_count(settings, question, model, cohort))
    return counts_to_fields([_count_once(settings, question, model, cohort, question.epsilon)])


def _count_once(
    settings: NodeSettings, question: CountRequest, model: Model, cohort: Cohort, epsilon: float
) -> Confusion:
    """Test counts, given once: written to the ledger before they are sent."""
    model_digest = _digest(question, model)
    cohort_digest = hashlib.sha256(cohort.index.model_dump_json().encode()).hexdigest()
    with sole_user(settings.state):
        ledger = read_ledger(settings.state)
        before = ledger.answered(model_digest, cohort_digest, epsilon, settings.test_models)
        if before is not None:
            return before
        counted = _count(settings, question, model, cohort)[0]
        entry = CountEntry(
            model=model_digest, cohort=cohort_digest, epsilon=epsilon, counts=counted
        )
        write_ledger(settings.state, ledger.with_entry(entry))
        return counted


def _digest(question: CountRequest, model: Model) -> str:
    """SHA-256 of what votes: neither a padded header nor another order makes a new model.

    Raises:
        RefusedError: a network is there twice, which is another way to have the same model count
            as a new one.
    """
    networks = sorted(digest(parameters) for parameters in model.ensemble)
    if len(set(networks)) < len(networks):
        raise RefusedError(Reason.MODEL_REFUSED, "a network is in the ensemble twice")
    lines = [question.network, question.protocol.model_dump_json(), *networks]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _count(
    settings: NodeSettings, question: CountRequest, model: Model, cohort: Cohort
) -> list[Confusion]:
    try:
        votes = cohort_votes(model, cohort, question.split, settings.device)
    except (FilmError, CohortError, UsageError) as error:
        raise RefusedError(Reason.COHORT_UNREADABLE, str(error)) from error
    return confusions(votes, question.thresholds)


def _read(received: Fields) -> CountRequest:
    try:
        return CountRequest.from_fields(received)
    except RequestError as error:
        raise RefusedError(Reason.QUESTION_MALFORMED, str(error)) from error


def _open(path: Path | None) -> Cohort:
    if path is None:
        raise RefusedError(Reason.NO_COHORT)
    try:
        return open_cohort(path)
    except CohortError as error:
        raise RefusedError(Reason.COHORT_UNREADABLE, str(error)) from error


def _load(question: CountRequest) -> Model:
    try:
        return Model.from_bytes(question.network, question.protocol, question.model)
    except ModelError as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error
