"""The node's loop: takes a question from the SuperLink, has it answered within limits, sends it.

Before a question is fetched, it must come from gdshare's own app, be of one of the two kinds, and
find some of the day's computing time left.
"""

import logging
import math
import time

from flwr.proto.message_pb2 import Message as ProtoMessage

from gdshare.errors import GdshareError, LockedError
from gdshare.messages import COLLECT, COUNTS, Reason
from gdshare.round_app import ROUND_APP_SHA256
from hospital_node.apart import Outcome, answer_apart
from hospital_node.parcel import Parcel, refused
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.superlink import (
    Asked,
    NodeRefusedError,
    OutOfBoundsError,
    SuperLink,
    UnreachableError,
)
from hospital_node.work import WorkError, grant, settle

KINDS = (f"query.{COLLECT}", f"evaluate.{COUNTS}")
BUSY_POLL_S, IDLE_POLL_S = 0.3, 3.0
BUSY_S = 60.0
"""For so long after a question another is expected soon."""

log = logging.getLogger(__name__)


def serve(superlink: SuperLink, settings: NodeSettings) -> None:
    """Answer until this process is told to end.

    Raises:
        FederationError: the SuperLink has gone, or takes this node no more.
    """
    last = time.monotonic()
    while True:
        asked = _next_question(superlink)
        if asked is not None:
            _serve_one(superlink, asked, settings)
            last = time.monotonic()
        else:
            time.sleep(BUSY_POLL_S if time.monotonic() - last < BUSY_S else IDLE_POLL_S)


def _next_question(superlink: SuperLink) -> Asked | None:
    """A question, if one waits; a node that the SuperLink has dropped enters once more."""
    try:
        return superlink.next_question()
    except NodeRefusedError as error:
        log.warning("%s; connecting again", error)
        superlink.enter()
        return superlink.next_question()


def _serve_one(superlink: SuperLink, asked: Asked, settings: NodeSettings) -> None:
    """Answer one question; what goes wrong with it ends here, and in the log.

    Raises:
        UnreachableError: the SuperLink has gone.
    """
    began = time.monotonic()
    try:
        answer = _answer(superlink, asked, settings)
        superlink.send(answer, time.monotonic() - began)
    except UnreachableError:
        raise
    except GdshareError as error:
        log.warning("a question was not answered: %s", error)
    except Exception as error:  # a stranger's message may make anything of Flower's raise anything
        log.exception("a question was not answered (%s: %s)", type(error).__name__, error)


def _answer(superlink: SuperLink, asked: Asked, settings: NodeSettings) -> Parcel:
    try:
        _require_ours(superlink, asked)
        outcome = _within_the_day(superlink, asked, settings)
    except RefusedError as error:
        log.warning("refused (%s): %s", error.reason, error)
        return refused(asked.head, error.reason)
    if not outcome.in_time:
        log.warning("refused (%s): ended after %.0f s", Reason.TIME_LIMIT, outcome.seconds)
        return refused(asked.head, Reason.TIME_LIMIT)
    return outcome.answer or refused(asked.head, Reason.FAULT)


def _within_the_day(superlink: SuperLink, asked: Asked, settings: NodeSettings) -> Outcome:
    """Fetch a question and have it answered, within the day's seconds."""
    try:
        granted = grant(settings.state, _wanted(asked.head, settings), settings.daily_seconds)
    except (WorkError, LockedError, OSError) as error:
        raise RefusedError(Reason.FAULT, str(error)) from error
    if granted.seconds < 1:
        raise RefusedError(
            Reason.DAILY_LIMIT,
            f"the {settings.daily_seconds} s of computing for others in 24 hours are spent; "
            "daily-seconds in the node's settings raises them",
        )
    spent = 0.0
    try:
        outcome = answer_apart(_fetch(superlink, asked), settings, granted.seconds)
        spent = outcome.seconds
    finally:
        settle(settings.state, granted, spent)
    return outcome


def _wanted(head: ProtoMessage, settings: NodeSettings) -> float:
    """How many seconds somebody waits for the answer."""
    waiting = head.metadata.created_at + head.metadata.ttl - time.time()
    return max(1.0, waiting) if math.isfinite(waiting) else settings.daily_seconds


def _require_ours(superlink: SuperLink, asked: Asked) -> None:
    """Check the app and the kind, before anything of the question is fetched.

    Raises:
        RefusedError: another app than gdshare's, or a third kind of question.
    """
    digest = superlink.app_of(asked)
    if digest != ROUND_APP_SHA256:
        raise RefusedError(
            Reason.OTHER_APP, f"asked by app {digest:.64}, not by gdshare's own, {ROUND_APP_SHA256}"
        )
    if asked.head.metadata.message_type not in KINDS:
        raise RefusedError(Reason.QUESTION_MALFORMED, "there are two kinds of question")


def _fetch(superlink: SuperLink, asked: Asked) -> Parcel:
    try:
        question = superlink.fetch(asked)
    except OutOfBoundsError as error:
        raise RefusedError(Reason.QUESTION_TOO_LARGE, str(error)) from error
    superlink.taken(asked)
    return question
