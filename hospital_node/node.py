"""The node's loop: takes questions from the SuperLink, and says how far it is with them.

A question must come from gdshare's own app and be of one of three kinds. What the node is doing
(``query.progress``) is answered here at once; the others wait at the ``desk``, where one after the
other is fetched and answered within limits. The loop ends when somebody ends the node, or if the
SuperLink is away for longer than the operator allows.
"""

import logging
import random
import time
from collections.abc import Callable

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import message_from_proto

from gdshare.errors import GdshareError
from gdshare.messages import ANSWER_RECORD, COLLECT, COUNTS, PROGRESS, Progress, Reason
from hospital_node.desk import Desk, require_ours
from hospital_node.faults import DisconnectedError, NodeRefusedError, no_superlink
from hospital_node.outage import Outage
from hospital_node.parcel import Parcel, packed, refused
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.superlink import Asked, SuperLink

AT_ONCE = f"query.{PROGRESS}"
KINDS = (f"query.{COLLECT}", f"evaluate.{COUNTS}", AT_ONCE)
BUSY_POLL_S, IDLE_POLL_S = 0.3, 3.0
BUSY_S = 60.0
"""For so long after an answer another question is expected soon."""
SPARED, LONGEST_POLL_S = 10.0, 30.0
"""A SuperLink that takes a second to say that nothing waits is asked again after ten: that of a
hundred nodes has more to do than to answer each three times a second."""

log = logging.getLogger(__name__)


def serve(
    superlink: SuperLink,
    settings: NodeSettings,
    max_wait_s: float | None = None,
    pause: Callable[[float], None] | None = None,
) -> None:
    """Answer until this process is ended.

    Args:
        superlink: entered here, and again whenever it was away.
        settings: what the site allows.
        max_wait_s: for how long the SuperLink may be away; None: for ever.
        pause: waits so many seconds; None: or until a question is finished.

    Raises:
        DisconnectedError: it was away for longer.
    """
    outage = Outage(max_wait_s, random.Random())  # noqa: S311 - spreads delays
    desk = Desk(superlink, settings)
    pause = pause or desk.pause
    last = time.monotonic()
    with desk.at_work():
        while True:
            began = time.monotonic()
            try:
                asked = _next_question(superlink)
            except DisconnectedError as fault:
                pause(outage.delay_after(fault))
                continue
            outage.over()
            if not desk.idle:
                last = time.monotonic()
            if asked is not None:
                _receive(superlink, desk, asked)
            else:
                now = time.monotonic()
                soon = desk.idle and now - last < BUSY_S
                pause(pause_after(now - began, soon))


def pause_after(took: float, soon: bool) -> float:
    """How long to wait before the SuperLink is asked again; all in seconds.

    Args:
        took: what it took to say that nothing waits.
        soon: whether another question is expected.
    """
    usual = BUSY_POLL_S if soon else IDLE_POLL_S
    return max(usual, min(LONGEST_POLL_S, SPARED * took))


def _next_question(superlink: SuperLink) -> Asked | None:
    """A question, if one waits; a node that the SuperLink has dropped enters once more.

    Raises:
        DisconnectedError: the SuperLink is away, or answers as none does.
    """
    try:
        if not superlink.node_id:
            superlink.enter()
        try:
            return superlink.next_question()
        except NodeRefusedError as error:
            log.warning("%s; connecting again", error)
            superlink.enter()
            return superlink.next_question()
    except DisconnectedError:
        raise
    except Exception as error:
        raise no_superlink(f"{type(error).__name__}: {error}", superlink.address.address) from error


def _receive(superlink: SuperLink, desk: Desk, asked: Asked) -> None:
    """Answer at once, or let it wait; what goes wrong with a question ends here, and in the log."""
    try:
        answer = _at_once(superlink, desk, asked)
        if answer is not None:
            superlink.taken(asked)
            superlink.send(answer, 0.0)
    except GdshareError as error:
        log.warning("a question was not answered: %s", error)
    except Exception as error:  # a stranger's message may make anything of Flower's raise anything
        log.exception("a question was not answered (%s: %s)", type(error).__name__, error)


def _at_once(superlink: SuperLink, desk: Desk, asked: Asked) -> Parcel | None:
    """The answer that needs no computing; None: the question waits at the desk."""
    kind = asked.head.metadata.message_type
    try:
        if kind not in KINDS:
            raise RefusedError(Reason.QUESTION_MALFORMED, "there are three kinds of question")
        if kind == AT_ONCE:
            require_ours(superlink, asked)
            return _told(asked, desk.progress())
        desk.put(asked)
    except RefusedError as error:
        log.warning("refused (%s): %s", error.reason, error)
        return refused(asked.head, error.reason)
    return None


def _told(asked: Asked, progress: Progress) -> Parcel:
    """The answer to ``query.progress``, of which nothing but the head is read."""
    content = RecordDict({ANSWER_RECORD: ConfigRecord(dict(progress.to_fields()))})
    return packed(Message(content, reply_to=message_from_proto(asked.head)))
