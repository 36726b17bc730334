"""The Flower ClientApp: unpacks a message, lets one of the acts answer, packs the answer.

Whatever goes wrong inside, the reply has a word from ``Reason``. The message of an exception, which
may name a path or a patient, goes to the hospital's own log.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from gdshare.errors import UsageError
from gdshare.messages import (
    ANSWER_RECORD,
    COLLECT,
    COUNTS,
    PROGRESS,
    REQUEST_RECORD,
    Fields,
    Progress,
    Reason,
    Value,
    refusal,
)
from hospital_node.activity import Report, say_nothing
from hospital_node.outbox import answer_collect
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings

Act = Callable[[NodeSettings, Fields, Report], dict[str, Value]]

log = logging.getLogger(__name__)
app = ClientApp()
_report: ContextVar[Report] = ContextVar("report", default=say_nothing)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Have the acts within the block report how far they are."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


@app.query(COLLECT)
def collect(message: Message, context: Context) -> Message:
    """Send the newest bundle in the outbox."""
    return _reply(message, context, answer_collect)


@app.evaluate(COUNTS)
def counts(message: Message, context: Context) -> Message:
    """Count the site's own films."""
    return _reply(message, context, _answer_counts)


@app.query(PROGRESS)
def progress(message: Message, context: Context) -> Message:
    """Say that nothing is being done: a node that does something answers this in its loop."""
    return _reply(message, context, _answer_progress)


def _answer_progress(settings: NodeSettings, fields: Fields, report: Report) -> dict[str, Value]:
    if fields:
        raise RefusedError(Reason.QUESTION_MALFORMED, "a question for progress has no fields")
    return Progress().to_fields()


def _answer_counts(settings: NodeSettings, fields: Fields, report: Report) -> dict[str, Value]:
    # Imported here: torch takes seconds to load, and the other act needs none of it. Inside the
    # act, since Flower would send the text of an exception that the act does not catch.
    from hospital_node.counting import answer_counts  # noqa: PLC0415

    return answer_counts(settings, fields, report)


def _reply(message: Message, context: Context, act: Act) -> Message:
    answer = ConfigRecord(dict(_answer(message, context, act)))
    return Message(RecordDict({ANSWER_RECORD: answer}), reply_to=message)


def _answer(message: Message, context: Context, act: Act) -> dict[str, Value]:
    try:
        settings = NodeSettings.from_mapping(context.node_config)
        received = dict(message.content.config_records.get(REQUEST_RECORD, {}))
        return act(settings, received, _report.get())
    except RefusedError as refused:
        log.warning("refused (%s): %s", refused.reason, refused)
        return refusal(refused.reason)
    except UsageError as error:
        log.error("%s", error)
        return refusal(Reason.NODE_MISCONFIGURED)
    except Exception as error:
        log.exception("the request could not be answered (%s: %s)", type(error).__name__, error)
        return refusal(Reason.FAULT)
