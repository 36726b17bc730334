"""Putting one question to several nodes, and sorting what comes back.

Replies are matched by the message they reply to, never by what they say about themselves. Each node
ends in exactly one of three ways: it answered, it refused with a reason, or it did not answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from gdshare.messages import ANSWER_RECORD, REQUEST_RECORD, Fields, Reason, Value, refusal_in

TIME_TO_LIVE_MARGIN = 60.0
"""Seconds a message outlives the wait for it: a late reply is dropped, not undeliverable."""


@dataclass(frozen=True)
class Replies:
    """What came back, by node.

    Attributes:
        answers: fields from a stranger, of nodes that answered.
        refused: the reason, of nodes that refused.
        silent: nodes that did not answer in time, or whose answer is no answer.
    """

    answers: Mapping[int, Fields] = field(default_factory=dict)
    refused: Mapping[int, Reason] = field(default_factory=dict)
    silent: tuple[int, ...] = ()


def ask(
    grid: Grid, kind: str, questions: Mapping[int, Mapping[str, Value]], timeout: float
) -> Replies:
    """Send each node its question and wait for the replies.

    Args:
        grid: Flower's way to the nodes.
        kind: message type, such as ``query.collect``.
        questions: node -> fields.
        timeout: seconds for all of them together.
    """
    messages = {
        node: Message(
            RecordDict({REQUEST_RECORD: ConfigRecord(dict(fields))}),
            dst_node_id=node,
            message_type=kind,
            ttl=timeout + TIME_TO_LIVE_MARGIN,
        )
        for node, fields in questions.items()
    }
    received = list(grid.send_and_receive(list(messages.values()), timeout=timeout))
    # Flower numbers a message when it sends it.
    asked = {message.metadata.message_id: node for node, message in messages.items()}
    found = {
        asked[reply.metadata.reply_to_message_id]: _fields(reply)
        for reply in received
        if reply.metadata.reply_to_message_id in asked
    }
    return sort_replies(questions, found)


def sort_replies(asked: Mapping[int, object], found: Mapping[int, Fields | None]) -> Replies:
    """Divide nodes by how they replied; ``found`` holds None for a reply without an answer."""
    answers: dict[int, Fields] = {}
    refused: dict[int, Reason] = {}
    for node, fields in found.items():
        reason = None if fields is None else refusal_in(fields)
        if reason is not None:
            refused[node] = reason
        elif fields is not None:
            answers[node] = fields
    silent = tuple(sorted(set(asked) - set(answers) - set(refused)))
    return Replies(answers, refused, silent)


def _fields(reply: Message) -> Fields | None:
    if reply.has_error():
        return None
    answer = reply.content.config_records.get(ANSWER_RECORD)
    return None if answer is None else dict(answer)
