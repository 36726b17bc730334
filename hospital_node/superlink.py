"""The node's side of a SuperLink: Flower's own messages, within bounds, and faults in plain words.

Of Flower's SuperNode only the client of the SuperLink is used. The rest would unpack whatever app
the SuperLink names, and open a port to every user of this machine
(docs/adr/0030-the-node-fetches-no-app.md).
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.serde import run_from_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from gdshare.errors import FederationError
from hospital_node.faults import (
    KnownKeyError,
    NotRegisteredError,
    OutOfBoundsError,
    RoundOverError,
    fault_of_status,
    fault_of_transport,
    no_superlink,
)
from hospital_node.identity import Identity
from hospital_node.parcel import Parcel

HEARTBEAT_S = 30
MAX_BYTES = 1 << 20
"""Of an answer of the SuperLink's that is not part of a question."""
MAX_QUESTION_BYTES = 320 << 20
"""Five networks of the largest kind, ResNet18, are 225 MB."""
MAX_OBJECTS = 16
TRANSFER_S = 3600.0
"""For a whole question."""
CALL_S = 30.0
LAST_CALL_S = 3.0
OBJECT_POLL_S = 0.5

Request = TypeVar("Request")
Response = TypeVar("Response")

log = logging.getLogger(__name__)


if not callable(getattr(FleetHttpClient, "_send", None)):
    raise ImportError("its client has no _send, in which answers are bounded")


@dataclass(frozen=True)
class Address:
    """Where the SuperLink is, and how to reach it.

    Attributes:
        address: HOST:PORT.
        tls: None: no TLS, on one machine only.
        key: the node's own, registered at the aggregator; None: one that the node draws and keeps,
            which only a SuperLink without node authentication takes.
    """

    address: str
    tls: ssl.SSLContext | None
    key: ec.EllipticCurvePrivateKey | None


@dataclass(frozen=True)
class Asked:
    """A question that waits at the SuperLink: its head, and the tree of its objects."""

    head: ProtoMessage
    tree: ObjectTree

    @property
    def run(self) -> int:
        """The run that asks."""
        return self.head.metadata.run_id


class _Fleet(FleetHttpClient):
    """Flower's client, which reads no more than it is told, unpacks nothing, follows nowhere."""

    def __init__(self, address: Address, identity: NodeAuthHttpInterceptor) -> None:
        scheme = "http" if address.tls is None else "https"
        verify = address.tls or False
        super().__init__(f"{scheme}://{address.address}", verify=verify, timeout=CALL_S)
        self.identity = identity
        self.limit = threading.local()

    @contextmanager
    def reading(self, size: int, until: float, report: Callable[[int], None]) -> Iterator[None]:
        """Let answers have another size, take until another time, and report what has come."""
        self.limit.size, self.limit.until, self.limit.report = size, until, report
        try:
            yield
        finally:
            del self.limit.size, self.limit.until, self.limit.report

    def hurry(self) -> None:
        """Wait no longer than a moment from now on."""
        self._client.timeout = LAST_CALL_S

    def _send(self, context: ProtobufRequestContext, *, stream: bool = False) -> httpx.Response:
        context.request.headers["accept-encoding"] = "identity"
        return self.identity.intercept(context, self._read)

    def _read(self, context: ProtobufRequestContext) -> httpx.Response:
        size = getattr(self.limit, "size", MAX_BYTES)
        until = getattr(self.limit, "until", time.monotonic() + 2 * CALL_S)
        report = getattr(self.limit, "report", lambda done: None)
        response = self._client.send(context.request, stream=True, follow_redirects=False)
        with closing(response):
            if "content-encoding" in response.headers:
                raise OutOfBoundsError("the SuperLink packs its answers")
            content = bytearray()
            for piece in response.iter_raw():
                content += piece
                report(len(content))
                if len(content) > size:
                    raise OutOfBoundsError(f"the SuperLink sends more than {size} bytes")
                if time.monotonic() > until:
                    raise OutOfBoundsError("the SuperLink takes too long to send")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            content=bytes(content),
            request=context.request,
        )


@dataclass
class _Sending:
    """An answer on its way: the SuperLink's session, and the objects that are not there yet."""

    session: str
    left: set[str]


class SuperLink:
    """A SuperLink that this node enters; each call is made once.

    Raises, from every method:
        DisconnectedError: nothing answers, no SuperLink, or it does not let the node in.
        RoundOverError: the round that asked has ended.
        OutOfBoundsError: more than the bounds.
    """

    def __init__(
        self,
        address: Address,
        identity: Identity,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is contacted yet; ``identity`` is who the node is, ``now`` its clock."""
        key = identity.key
        self.address = address
        self._identity, self._now = identity, now
        self._public = public_key_to_bytes(key.public_key())
        self._client = _Fleet(address, NodeAuthHttpInterceptor(key, key.public_key()))
        self._node = Node()
        self._sending: dict[str, _Sending] = {}
        self._closing = threading.Event()

    @property
    def node_id(self) -> int:
        """The number by which the SuperLink knows the node; 0: it has not entered."""
        return self._node.node_id

    def enter(self) -> None:
        """Have the node listed as connected, again if it was dropped."""
        if self.address.key is None:
            with suppress(KnownKeyError):
                request = RegisterNodeFleetRequest(public_key=self._public)
                self._call(self._client.RegisterNode, request)
        try:
            number = self._activated()
        except NotRegisteredError:
            if not self._left_from_before():
                raise
            number = self._activated()
        self._node = Node(node_id=number)
        self._identity.remember(self.address.address, number)
        log.info("connected to %s as node %d", self.address.address, number)

    def _activated(self) -> int:
        activate = ActivateNodeRequest(public_key=self._public, heartbeat_interval=HEARTBEAT_S)
        return self._call(self._client.ActivateNode, activate).node_id

    def _left_from_before(self) -> bool:
        """Leave in the place of a process that was killed, and is listed as connected still."""
        number = self._identity.number_at(self.address.address)
        if number is None:
            return False
        try:
            self._call(self._client.DeactivateNode, DeactivateNodeRequest(node_id=number))
        except FederationError:
            return False
        return True

    def leave(self) -> None:
        """Have the node listed as gone; a SuperLink that is gone too is left in peace."""
        self._closing.set()
        self._client.hurry()
        with suppress(Exception):
            if self.node_id:
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))
        self._client.close()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Heartbeats within the block, once the node has entered; it leaves when the block ends."""
        try:
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
            yield
        finally:
            self.leave()

    def _beat(self) -> None:
        """Say that the node is there, also while it answers; what fails shows at the next call."""
        while not self._closing.wait(HEARTBEAT_S * 0.6):
            with suppress(Exception):
                if not self.node_id:
                    continue
                self._client.SendNodeHeartbeat(
                    SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_S)
                )

    def next_question(self) -> Asked | None:
        """A question for this node, if one waits."""
        answer = self._call(self._client.PullMessages, PullMessagesRequest(node=self._node))
        if not answer.messages_list or not answer.message_object_trees:
            return None
        return Asked(answer.messages_list[0], answer.message_object_trees[0])

    def app_of(self, asked: Asked) -> str:
        """SHA-256 of the app that asks, which is not fetched."""
        request = GetRunRequest(node=self._node, run_id=asked.run)
        return run_from_proto(self._call(self._client.GetRun, request).run).fab_hash

    def fetch(self, asked: Asked, report: Callable[[int], None] = lambda done: None) -> Parcel:
        """Fetch the objects of a question; ``report`` is called with the bytes that are there."""
        names = list(dict.fromkeys(item.object_id for item in iterate_object_tree(asked.tree)))
        if len(names) > MAX_OBJECTS:
            raise OutOfBoundsError(f"the question has {len(names)} objects")
        objects: dict[str, bytes] = {}
        left, until = MAX_QUESTION_BYTES, time.monotonic() + TRANSFER_S
        for name in names:
            there = partial(_add, report, MAX_QUESTION_BYTES - left)
            objects[name] = self._fetch(asked.run, name, left, until, there)
            left -= len(objects[name])
        return Parcel(asked.head, asked.tree, objects)

    def taken(self, asked: Asked) -> None:
        """Tell the SuperLink that the question has arrived; it drops it then."""
        name = asked.head.metadata.message_id
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=asked.run, message_object_id=name
        )
        self._call(self._client.ConfirmMessageReceived, request)

    def _fetch(
        self, run: int, name: str, size: int, until: float, report: Callable[[int], None]
    ) -> bytes:
        request = PullObjectRequest(node=self._node, run_id=run, object_id=name)
        with self._client.reading(size + MAX_BYTES, until, report):
            while time.monotonic() < until:
                answer = self._call(self._client.PullObject, request)
                if not answer.object_found:
                    raise RoundOverError("the question is gone")
                if len(answer.object_content) > size:
                    break
                if answer.object_available:
                    return answer.object_content
                time.sleep(OBJECT_POLL_S)
        raise OutOfBoundsError("the question is too large, or was not sent in time")

    def send(self, answer: Parcel, seconds: float) -> None:
        """Send an answer; called again after a fault, send what is still missing."""
        message = answer.head.metadata.message_id
        try:
            for _ in range(2):
                if message not in self._sending:
                    self._sending[message] = self._announce(answer, seconds)
                if self._push(answer, self._sending[message]):
                    break
                del self._sending[message]
        except RoundOverError:
            self._sending.pop(message, None)
            raise
        self._sending.pop(message, None)

    def _announce(self, answer: Parcel, seconds: float) -> _Sending:
        """Announce an answer; returns which of its objects the SuperLink lacks.

        A first announcement lacks the message at least. One that the SuperLink has already, because
        its own answer was lost, lacks none, whatever is there: then all are sent, in no session.
        """
        pushed = self._call(
            self._client.PushMessages,
            PushMessagesRequest(
                node=self._node,
                messages_list=[answer.head],
                message_object_trees=[answer.tree],
                clientapp_runtime_list=[seconds],
            ),
        )
        lacking = set(pushed.objects_to_push) & set(answer.objects)
        return (
            _Sending(pushed.session_id, lacking) if lacking else _Sending("", set(answer.objects))
        )

    def _push(self, answer: Parcel, sending: _Sending) -> bool:
        """Send what is left; returns whether the SuperLink took it in that session."""
        for name in sorted(sending.left):
            pushed = self._call(
                self._client.PushObject,
                PushObjectRequest(
                    node=self._node,
                    run_id=answer.head.metadata.run_id,
                    session_id=sending.session,
                    object_id=name,
                    object_content=answer.objects[name],
                ),
            )
            if sending.session and not pushed.stored:
                return False
            sending.left.discard(name)
        return True

    def _call(self, method: Callable[[Request], Response], request: Request) -> Response:
        """One call; what is wrong with it is one of ``faults``."""
        where = self.address.address
        try:
            return method(request)
        except httpx.HTTPStatusError as error:
            response = error.response
            raise fault_of_status(
                response.status_code, response.headers, response.text, where, self._now()
            ) from error
        except httpx.TransportError as error:
            raise fault_of_transport(error, where) from error
        except FederationError:
            raise
        except Exception as error:  # a stranger's answer may make anything of Flower's raise
            raise no_superlink(type(error).__name__, where) from error


def _add(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)
