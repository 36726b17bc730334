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
class MemoryGrid(Grid):
    """Nodes by number; ``apps`` replaces a node's ClientApp, ``silent`` nodes never answer."""

    settings: Mapping[int, Mapping[str, object]]
    apps: Mapping[int, ClientApp] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    asked: list[tuple[int, str]] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)

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
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Answers come back in another order than the requests went out."""
        self.timeouts.append(timeout)
        return [reply for m in reversed(list(messages)) if (reply := self._reply(m)) is not None]

    def _reply(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        numbered(message)
        self.asked.append((node, message.metadata.message_type))
        if node in self.silent:
            return None
        return self.apps.get(node, app)(message, context(self.settings[node], node))
