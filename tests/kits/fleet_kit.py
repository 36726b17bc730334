"""A SuperLink of the tests' own: it answers a node as a test tells it, soundly or with malice."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import run_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeResponse,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
    RegisterNodeFleetResponse,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedResponse,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
    PushObjectResponse,
)
from flwr.proto.run_pb2 import GetRunResponse
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from gdshare.messages import ANSWER_RECORD, REQUEST_RECORD
from gdshare.round_app import ROUND_APP_SHA256
from hospital_node.parcel import Parcel, packed, unpacked

RUN = 1
NODE = 11
Answer = Callable[[bytes], "bytes | Plain"]

# Flower's own processes set these; a Message cannot be made without them.
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 1, 1


@dataclass(frozen=True)
class Plain:
    """An answer of HTTP's."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def question(kind: str = "query.collect", **fields: object) -> Parcel:
    content = RecordDict({REQUEST_RECORD: ConfigRecord(fields)})  # type: ignore[arg-type]
    return packed(Message(content, dst_node_id=NODE, message_type=kind, ttl=600.0))


@dataclass
class Fleet:
    """What the node is told, and what it did.

    Attributes:
        waiting: questions, given out one after the other.
        fab_hash: the app that asks.
        scripted: route -> an answer in place of the sound one.
        calls: the routes that were called.
        answers: what the node answered, as fields.
    """

    waiting: list[Parcel] = field(default_factory=list)
    fab_hash: str = ROUND_APP_SHA256
    scripted: dict[str, Answer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    answers: list[dict[str, object]] = field(default_factory=list)
    address: str = ""
    _given: dict[str, bytes] = field(default_factory=dict)
    _pushed: dict[str, bytes] = field(default_factory=dict)
    _answer: PushMessagesRequest | None = None

    def respond(self, route: str, body: bytes) -> "bytes | Plain":
        self.calls.append(route)
        if route in self.scripted:
            return self.scripted[route](body)
        sound = getattr(self, "_" + route.replace("-", "_"), None)
        return Plain(404) if sound is None else sound(body)

    def _register_node(self, _: bytes) -> bytes:
        return RegisterNodeFleetResponse(node_id=NODE).SerializeToString()

    def _activate_node(self, _: bytes) -> bytes:
        return ActivateNodeResponse(node_id=NODE).SerializeToString()

    def _deactivate_node(self, _: bytes) -> bytes:
        return b""

    _unregister_node = _deactivate_node

    def _pull_messages(self, _: bytes) -> bytes:
        if not self.waiting:
            return b""
        asked = self.waiting.pop(0)
        self._given |= asked.objects
        response = PullMessagesResponse(
            messages_list=[asked.head], message_object_trees=[asked.tree]
        )
        return response.SerializeToString()

    def _get_run(self, _: bytes) -> bytes:
        run = Run.create_empty(RUN)
        run.fab_hash = self.fab_hash
        return GetRunResponse(run=run_to_proto(run)).SerializeToString()

    def _pull_object(self, body: bytes) -> bytes:
        content = self._given.get(PullObjectRequest.FromString(body).object_id)
        found = content is not None
        response = PullObjectResponse(
            object_found=found, object_available=found, object_content=content or b""
        )
        return response.SerializeToString()

    def _confirm_message_received(self, _: bytes) -> bytes:
        return ConfirmMessageReceivedResponse().SerializeToString()

    def _push_messages(self, body: bytes) -> bytes:
        self._answer = PushMessagesRequest.FromString(body)
        wanted = [item.object_id for item in _all(self._answer.message_object_trees[0])]
        self._pushed = {}
        return PushMessagesResponse(objects_to_push=wanted, session_id="s").SerializeToString()

    def _push_object(self, body: bytes) -> bytes:
        request = PushObjectRequest.FromString(body)
        self._pushed[request.object_id] = request.object_content
        assert self._answer is not None
        tree = self._answer.message_object_trees[0]
        if len(self._pushed) == len(list(_all(tree))):
            message = unpacked(Parcel(self._answer.messages_list[0], tree, self._pushed))
            self.answers.append(dict(message.content.config_records[ANSWER_RECORD]))
        return PushObjectResponse(stored=True).SerializeToString()


def _all(tree):
    yield tree
    for child in tree.children:
        yield from _all(child)


@contextmanager
def fleet_server(fleet: Fleet) -> Iterator[Fleet]:
    """Serve a fleet on a port of this machine's loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = fleet.respond(self.path.removeprefix("/v1/fleet/"), body)
            plain = answer if isinstance(answer, Plain) else Plain(body=answer)
            self.send_response_only(plain.status)
            for name, value in {"content-length": str(len(plain.body)), **plain.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(plain.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fleet.address = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield fleet
    finally:
        server.shutdown()
        server.server_close()
