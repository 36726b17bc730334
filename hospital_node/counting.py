"""The second act: classifying the site's own films with a round's model, and counting them.

Films, votes and ratios stay here; integers leave, and none of a few films. Checked in this order,
cheapest first: the form of the request, a cohort that the site listed, enough films, the site's own
protocol, the bundles or the weights, the record of counts. What leaves is in the record first.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from gdshare.cohort import Cohort, open_cohort
from gdshare.errors import CohortError, FilmError, ModelError, UsageError
from gdshare.evaluation import FilmVote, cohort_votes, confusions
from gdshare.messages import (
    CountRequest,
    Counts,
    Fields,
    Reason,
    Recipe,
    RequestError,
    Value,
    counts_to_fields,
)
from gdshare.metrics import THRESHOLDS
from gdshare.model import Model
from gdshare.networks import digest
from gdshare.suppression import merged
from hospital_node.count_record import Answer, Limits, Question, read_counts, record_counts
from hospital_node.noise import DELTA, deviation, noisy, variance_for
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.tied import train_tied

log = logging.getLogger(__name__)


def answer_counts(settings: NodeSettings, received: Fields) -> dict[str, Value]:
    """Answer ``evaluate.counts``.

    Raises:
        RefusedError: with the one reason that the network learns.
    """
    request = _read(received)
    cohort = _open(settings.cohort)
    films = cohort.films_of(request.split)
    if len(films) < settings.minimum_films:
        raise RefusedError(Reason.TOO_FEW_FILMS)
    if request.protocol != cohort.protocol:
        raise RefusedError(Reason.PROTOCOL_DIFFERS)
    model, tied = _model(settings, request)
    question = Question(_digest(request, model), _cohort_digest(cohort), request.epsilon, tied)
    answer = _answer(settings, question, lambda: _votes(settings, request, model, cohort))
    log.info("counted %d %s films", len(films), request.split)
    return counts_to_fields(answer.sent)


def _answer(
    settings: NodeSettings, question: Question, votes: Callable[[], list[FilmVote]]
) -> Answer:
    """The recorded answer, or a new one, which is recorded before it is sent."""
    limits = Limits.of(settings)
    epsilon = settings.noise_epsilon
    variance = None if epsilon is None else variance_for(epsilon)
    noise = None if variance is None else float(variance)
    answer = read_counts(settings.state).answer_to(question, limits, noise)
    if answer is None:
        counts = _counts(settings.suppress_below, votes(), question.epsilon, variance)
        answer = record_counts(settings.state, Answer.to(question, counts, noise), limits)
    if variance is not None:
        spent = read_counts(settings.state).epsilon_spent(question)
        log.info("noisy answers about these films have spent ε = %.2f at δ = %g", spent, DELTA)
    return answer


def _counts(
    k: int, votes: Sequence[FilmVote], epsilon: float | None, variance: Fraction | None
) -> Counts:
    """Counts that may leave: with noise, if there is to be any, then without cells of a few."""
    thresholds = THRESHOLDS if epsilon is None else (epsilon,)
    exact = confusions(votes, thresholds)
    counts = exact if variance is None else noisy(exact, variance)
    sent = [merged(confusion, k) for confusion in counts]
    if not sent[0].films:
        raise RefusedError(Reason.TOO_FEW_FILMS, f"fewer than {k} films of either diagnosis")
    return Counts(sent, k, 0.0 if variance is None else deviation(len(thresholds), variance))


def _cohort_digest(cohort: Cohort) -> str:
    """SHA-256 of the index; a field that is implied does not give an old cohort a new budget."""
    index = cohort.index.model_dump_json(exclude={"protocol": cohort.protocol.implied})
    return hashlib.sha256(index.encode()).hexdigest()


def _digest(request: CountRequest, model: Model) -> str:
    """SHA-256 of what votes: neither a padded header nor another order makes a new model.

    Raises:
        RefusedError: the ensemble has a network twice, which would make the same votes a new model.
    """
    networks = sorted(digest(parameters) for parameters in model.ensemble)
    if len(set(networks)) < len(networks):
        raise RefusedError(Reason.MODEL_REFUSED, "a network is in the ensemble twice")
    protocol = request.protocol.model_dump_json(exclude=request.protocol.implied)
    lines = [request.network, protocol, *networks]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _votes(
    settings: NodeSettings, request: CountRequest, model: Model, cohort: Cohort
) -> list[FilmVote]:
    try:
        return cohort_votes(model, cohort, request.split, settings.device)
    except (FilmError, CohortError, UsageError) as error:
        raise RefusedError(Reason.COHORT_UNREADABLE, str(error)) from error


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


def _model(settings: NodeSettings, request: CountRequest) -> tuple[Model, bool]:
    """The model, and whether it was trained here."""
    if isinstance(request.model, Recipe):
        return train_tied(settings, request, request.model), True
    if isinstance(request.model, str):
        raise RefusedError(Reason.MODEL_UNKNOWN)
    if not settings.untied_models:
        raise RefusedError(Reason.MODEL_UNTIED, "weights without the bundles that they come from")
    try:
        return Model.from_bytes(request.network, request.protocol, request.model), False
    except ModelError as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error
