"""Sending one request to several nodes, and sorting their replies.

A reply is matched by the message it replies to, never by what it says about itself. Each node ends
in exactly one of three ways: it answered, it refused with a reason, or it did not answer.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from gdshare.messages import ANSWER_RECORD, REQUEST_RECORD, Fields, Reason, Value, refusal_in
from gdshare.progress import lines

log = logging.getLogger(__name__)

TIME_TO_LIVE_MARGIN = 60.0
"""Seconds a message outlives the wait for it: a late reply is dropped, not undeliverable."""


@dataclass(frozen=True)
class Replies:
    """What came back, by node.

    Attributes:
        answers: fields from a stranger, of nodes that answered.
        refused: the reason, of nodes that refused.
        silent: nodes that did not answer in time, or without an answer in their reply.
    """

    answers: Mapping[int, Fields] = field(default_factory=dict)
    refused: Mapping[int, Reason] = field(default_factory=dict)
    silent: tuple[int, ...] = ()


def ask(
    grid: Grid,
    kind: str,
    requests: Mapping[int, Mapping[str, Value]],
    timeout: float,
    who: str,
    what: str,
) -> Replies:
    """Send each node its request and wait for the replies; the log says for whom, and how long.

    Args:
        grid: Flower's way to the nodes.
        kind: message type, such as ``query.collect``.
        requests: node -> fields.
        timeout: seconds for all of them together.
        who: the nodes, for the log, such as ``st-mary, tokyo``.
        what: they are asked to do, such as ``count validation films``.
    """
    messages = {
        node: Message(
            RecordDict({REQUEST_RECORD: ConfigRecord(dict(fields))}),
            dst_node_id=node,
            message_type=kind,
            ttl=timeout + TIME_TO_LIVE_MARGIN,
        )
        for node, fields in requests.items()
    }
    log.info("asked %s to %s, for at most %.0f s", who, what, timeout)
    with lines(f"waiting for {who} to {what}", log.info):
        received = list(grid.send_and_receive(list(messages.values()), timeout=timeout))
    # Flower numbers a message when it sends it.
    nodes = {message.metadata.message_id: node for node, message in messages.items()}
    replies = {
        nodes[reply.metadata.reply_to_message_id]: _fields(reply)
        for reply in received
        if reply.metadata.reply_to_message_id in nodes
    }
    return sort_replies(requests, replies)


def sort_replies(requests: Mapping[int, object], replies: Mapping[int, Fields | None]) -> Replies:
    """Divide nodes by how they replied; ``replies`` has None for a reply without an answer."""
    answers: dict[int, Fields] = {}
    refused: dict[int, Reason] = {}
    for node, fields in replies.items():
        reason = None if fields is None else refusal_in(fields)
        if reason is not None:
            refused[node] = reason
        elif fields is not None:
            answers[node] = fields
    silent = tuple(sorted(set(requests) - set(answers) - set(refused)))
    return Replies(answers, refused, silent)


def _fields(reply: Message) -> Fields | None:
    if reply.has_error():
        return None
    answer = reply.content.config_records.get(ANSWER_RECORD)
    return None if answer is None else dict(answer)
