"""The second act: classifying the site's own films with a model from outside, and counting them.

Films, votes and ratios stay here; integers leave. Checked in this order, cheapest first: the form
of the request, a cohort that the site listed, enough films, the site's own protocol, the model's
weights, the record of test counts.
"""

import hashlib
import logging
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
from hospital_node.test_counts import CountEntry, read_test_counts, record_test_counts

log = logging.getLogger(__name__)


def answer_counts(settings: NodeSettings, received: Fields) -> dict[str, Value]:
    """Answer ``evaluate.counts``.

    Raises:
        RefusedError: with the one reason that the network learns.
    """
    request = _read(received)
    cohort = _open(settings.cohort)
    if len(cohort.films_of(request.split)) < settings.minimum_films:
        raise RefusedError(Reason.TOO_FEW_FILMS)
    if request.protocol != cohort.protocol:
        raise RefusedError(Reason.PROTOCOL_DIFFERS)
    model = _load(request)
    if request.epsilon is None:
        counts = _count(settings, request, model, cohort)
    else:
        counts = [_count_once(settings, request, model, cohort, request.epsilon)]
    log.info("counted %d %s films", counts[0].films, request.split)
    return counts_to_fields(counts)


def _count_once(
    settings: NodeSettings, request: CountRequest, model: Model, cohort: Cohort, epsilon: float
) -> Confusion:
    """Test counts, recorded before they are sent and given once."""
    model_digest = _digest(request, model)
    cohort_digest = hashlib.sha256(cohort.index.model_dump_json().encode()).hexdigest()
    limit = settings.test_models
    record = read_test_counts(settings.state)
    earlier = record.answer_to(model_digest, cohort_digest, epsilon, limit)
    if earlier is not None:
        return earlier
    [counts] = _count(settings, request, model, cohort)
    entry = CountEntry(model=model_digest, cohort=cohort_digest, epsilon=epsilon, counts=counts)
    return record_test_counts(settings.state, entry, limit)


def _digest(request: CountRequest, model: Model) -> str:
    """SHA-256 of what votes: neither a padded header nor another order makes a new model.

    Raises:
        RefusedError: the ensemble has a network twice, which would make the same votes a new model.
    """
    networks = sorted(digest(parameters) for parameters in model.ensemble)
    if len(set(networks)) < len(networks):
        raise RefusedError(Reason.MODEL_REFUSED, "a network is in the ensemble twice")
    lines = [request.network, request.protocol.model_dump_json(), *networks]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _count(
    settings: NodeSettings, request: CountRequest, model: Model, cohort: Cohort
) -> list[Confusion]:
    try:
        votes = cohort_votes(model, cohort, request.split, settings.device)
    except (FilmError, CohortError, UsageError) as error:
        raise RefusedError(Reason.COHORT_UNREADABLE, str(error)) from error
    return confusions(votes, request.thresholds)


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


def _load(request: CountRequest) -> Model:
    try:
        return Model.from_bytes(request.network, request.protocol, request.model)
    except ModelError as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error
