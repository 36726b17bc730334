"""Flower in memory: a Grid that hands each message to a ClientApp in this process."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from site_kit import NOW

import hospital_node.tied
from gdshare.messages import ANSWER_RECORD, REQUEST_RECORD
from hospital_node.client_app import app

# Flower's own processes set these before an app runs; a Message cannot be made without them.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

hospital_node.tied.utc_now = lambda: NOW  # the day on which the kits' bundles are valid

PROGRESS = "query.progress"

ClientApp = Callable[[Message, Context], Message]


def context(settings: Mapping[str, object], node: int = 1) -> Context:
    return Context(
        run_id=1, node_id=node, node_config=dict(settings), state=RecordDict(), run_config={}
    )


def numbered(message: Message) -> Message:
    """What Flower does to a message when it sends it."""
    message.metadata.__dict__["_message_id"] = str(uuid4())
    return message


def ask_node(settings: Mapping[str, object], kind: str, fields: Mapping[str, object]) -> dict:
    """Send one request to the real ClientApp and return the fields of its answer."""
    content = RecordDict({REQUEST_RECORD: ConfigRecord(dict(fields))})
    message = numbered(Message(content, dst_node_id=1, message_type=kind))
    reply = app(message, context(settings))
    assert set(reply.content) == {ANSWER_RECORD}
    return dict(reply.content.config_records[ANSWER_RECORD])


@dataclass
class VirtualClock:
    """Time that passes only while somebody waits."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        self.seconds += seconds


@dataclass
class MemoryGrid(Grid):
    """Nodes by number; ``apps`` replaces a node's ClientApp, ``silent`` nodes never answer."""

    settings: Mapping[int, Mapping[str, object]]
    apps: Mapping[int, ClientApp] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    asked: list[tuple[int, str]] = field(default_factory=list)
    replies: dict[str, Message] = field(default_factory=dict)

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *_: object, **__: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.settings)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """A node answers at once, but for ``query.progress``, which the node's loop answers."""
        numbers = []
        for message in messages:
            number = numbered(message).metadata.message_id
            numbers.append(number)
            if message.metadata.message_type != PROGRESS:
                reply = self._reply(message)
                if reply is not None:
                    self.replies[number] = reply
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Answers come back in another order than the requests went out."""
        return [self.replies.pop(n) for n in reversed(list(message_ids)) if n in self.replies]

    def send_and_receive(self, *_: object, **__: object) -> Iterable[Message]:
        raise NotImplementedError

    def _reply(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        self.asked.append((node, message.metadata.message_type))
        if node in self.silent:
            return None
        return self.apps.get(node, app)(message, context(self.settings[node], node))
