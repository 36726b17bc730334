"""The second act: classifying the site's own films with a round's model, and counting them.

Films, votes and ratios stay here; integers leave, and none of a few films. Checked in this order,
cheapest first: the form of the request, a cohort that the site listed, enough films, the site's own
protocol, the bundles or the weights, the record of counts. What leaves is in the record first.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from gdshare.cohort import Cohort, CohortFilm, open_cohort
from gdshare.errors import BundleError, CohortError, FilmError, ModelError, UsageError
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
from hospital_node.activity import Report, say_nothing
from hospital_node.count_record import Answer, Limits, Question, read_counts, record_counts
from hospital_node.kept import ModelOrigin, keep_model, model_shelf
from hospital_node.noise import DELTA, deviation, epsilon_text, noisy, variance_for
from hospital_node.outbox import only_site
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.tied import model_of_name, train_tied, utc_now

STEP = 10
"""Films between two reports."""
SHOWN = 5

log = logging.getLogger(__name__)


def answer_counts(
    settings: NodeSettings, received: Fields, report: Report = say_nothing
) -> dict[str, Value]:
    """Answer ``evaluate.counts``.

    Args:
        settings: what the site allows.
        received: a stranger's.
        report: takes how far it is.

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
    model, tied = _model(settings, request, report)
    digest = _digest(request, model)
    question = Question(digest, _cohort_digest(cohort), request.epsilon, tied)
    steps = _Steps(report, _site(settings), digest, _countable(films, settings.suppress_below))
    answer = _answer(settings, question, lambda: _votes(settings, request, model, cohort, steps))
    log.info(
        "%s: counted %d %s films for model %.16s (%s)",
        _site(settings),
        len(films),
        request.split,
        digest,
        _bundles(request),
    )
    return counts_to_fields(answer.sent)


@dataclass(frozen=True)
class _Steps:
    """Says how far the films are: to the hospital's log exactly, to the aggregator in tens.

    Attributes:
        report: what the aggregator may learn.
        site, model: for the log.
        countable: films whose number the counts tell anyway.
    """

    report: Report
    site: str
    model: str
    countable: int

    def __call__(self, done: int, of: int) -> None:
        if done % STEP and done < of:
            return
        log.info("%s: counting film %d of %d for model %.16s", self.site, done, of, self.model)
        self.report("counting", self.countable if done == of else done, self.countable)


def _countable(films: Sequence[CohortFilm], k: int) -> int:
    """How many films the counts tell that there are: those of a diagnosis with ``k`` or more."""
    positives = sum(film.positive for film in films)
    return sum(number for number in (positives, len(films) - positives) if number >= k)


def _bundles(request: CountRequest) -> str:
    """What the model was made of, for the log."""
    if isinstance(request.model, Recipe):
        digests = [f"{digest:.16}" for digest in request.model.bundle_digests]
        return f"bundles {', '.join(digests[:SHOWN])}{', ...' if len(digests) > SHOWN else ''}"
    return "named" if isinstance(request.model, str) else "weights that were sent"


def _site(settings: NodeSettings) -> str:
    """This hospital's name, by its outbox, for the log."""
    try:
        return only_site(settings.outbox)
    except (RefusedError, BundleError, OSError):
        return "this hospital"


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
        answered = Answer.to(question, counts, noise, utc_now())
        answer = record_counts(settings.state, answered, limits)
    if variance is not None:
        spent = read_counts(settings.state).epsilon_spent(question)
        text = epsilon_text(spent)
        log.info("noisy answers about these films have spent ε = %s at δ = %g", text, DELTA)
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
    settings: NodeSettings, request: CountRequest, model: Model, cohort: Cohort, steps: _Steps
) -> list[FilmVote]:
    steps.report("counting", 0, steps.countable)
    try:
        return cohort_votes(model, cohort, request.split, settings.device, steps)
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


def _model(settings: NodeSettings, request: CountRequest, report: Report) -> tuple[Model, bool]:
    """The model, and whether it was trained here."""
    if isinstance(request.model, Recipe):
        return train_tied(settings, request, request.model, report), True
    if isinstance(request.model, str):
        model, tied = model_of_name(settings, request, request.model)
    else:
        model, tied = _model_of_weights(settings, request, request.model), False
    if not tied and not settings.untied_models:
        raise RefusedError(Reason.MODEL_UNTIED, "weights without the bundles that they come from")
    return model, tied


def _model_of_weights(settings: NodeSettings, request: CountRequest, weights: bytes) -> Model:
    """The model that somebody sent; it is kept, so that the next question may name it."""
    if not settings.untied_models:
        raise RefusedError(Reason.MODEL_UNTIED, "weights without the bundles that they come from")
    try:
        model = Model.from_bytes(request.network, request.protocol, weights)
    except ModelError as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error
    name = request.model_digest
    keep_model(model_shelf(settings.state), name, ModelOrigin(weights_sha256=name), weights)
    return model
