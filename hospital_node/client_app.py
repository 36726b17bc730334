"""The Flower ClientApp: unpacks a message, lets one of the two acts answer, packs the answer.

Whatever goes wrong inside, the reply has a word from ``Reason``. The message of an exception, which
may name a path or a patient, goes to the hospital's own log.
"""

import logging
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from gdshare.errors import UsageError
from gdshare.messages import (
    ANSWER_RECORD,
    COLLECT,
    COUNTS,
    REQUEST_RECORD,
    Fields,
    Reason,
    Value,
    refusal,
)
from hospital_node.outbox import answer_collect
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings

Act = Callable[[NodeSettings, Fields], dict[str, Value]]

log = logging.getLogger(__name__)
app = ClientApp()


@app.query(COLLECT)
def collect(message: Message, context: Context) -> Message:
    """Send the newest bundle in the outbox."""
    return _reply(message, context, answer_collect)


@app.evaluate(COUNTS)
def counts(message: Message, context: Context) -> Message:
    """Count the site's own films."""
    return _reply(message, context, _answer_counts)


def _answer_counts(settings: NodeSettings, fields: Fields) -> dict[str, Value]:
    # Imported here: torch takes seconds to load, and the other act needs none of it. Inside the
    # act, since Flower would send the text of an exception that the act does not catch.
    from hospital_node.counting import answer_counts  # noqa: PLC0415

    return answer_counts(settings, fields)


def _reply(message: Message, context: Context, act: Act) -> Message:
    answer = ConfigRecord(dict(_answer(message, context, act)))
    return Message(RecordDict({ANSWER_RECORD: answer}), reply_to=message)


def _answer(message: Message, context: Context, act: Act) -> dict[str, Value]:
    try:
        settings = NodeSettings.from_mapping(context.node_config)
        return act(settings, dict(message.content.config_records.get(REQUEST_RECORD, {})))
    except RefusedError as refused:
        log.warning("refused (%s): %s", refused.reason, refused)
        return refusal(refused.reason)
    except UsageError as error:
        log.error("%s", error)
        return refusal(Reason.NODE_MISCONFIGURED)
    except Exception as error:
        log.exception("the request could not be answered (%s: %s)", type(error).__name__, error)
        return refusal(Reason.FAULT)
