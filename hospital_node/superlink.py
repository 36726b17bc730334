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
from email.utils import parsedate_to_datetime
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
    UnregisterNodeFleetRequest,
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
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from gdshare.errors import FederationError
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
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 15.0
LISTED_S = 75.0
"""A node that ended without a word is listed as connected for two heartbeats."""
CLOCK_TOLERANCE_S = 4.0

Request = TypeVar("Request")
Response = TypeVar("Response")

log = logging.getLogger(__name__)


if not callable(getattr(FleetHttpClient, "_send", None)):
    raise ImportError("its client has no _send, in which answers are bounded")


class NodeRefusedError(FederationError):
    """The SuperLink does not let this node in."""


class UnreachableError(FederationError):
    """No SuperLink answers."""


class _KnownError(NodeRefusedError):
    """The key is registered already."""


class RoundOverError(FederationError):
    """The round that asked has ended."""


class OutOfBoundsError(FederationError):
    """A SuperLink that sends more than the bounds, or takes too long."""


@dataclass(frozen=True)
class Address:
    """Where the SuperLink is, and how to reach it.

    Attributes:
        address: HOST:PORT.
        tls: None: no TLS, on one machine only.
        key: the node's own, registered at the aggregator; None: a new one each time, which only a
            SuperLink without node authentication takes.
        patience: seconds to keep trying while nothing answers.
    """

    address: str
    tls: ssl.SSLContext | None
    key: ec.EllipticCurvePrivateKey | None
    patience: float


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
    def reading(self, size: int, until: float) -> Iterator[None]:
        """Let answers have another size, and take until another time."""
        self.limit.size, self.limit.until = size, until
        try:
            yield
        finally:
            del self.limit.size, self.limit.until

    def hurry(self) -> None:
        """Wait no longer than a moment from now on."""
        self._client.timeout = LAST_CALL_S

    def _send(self, context: ProtobufRequestContext, *, stream: bool = False) -> httpx.Response:
        context.request.headers["accept-encoding"] = "identity"
        return self.identity.intercept(context, self._read)

    def _read(self, context: ProtobufRequestContext) -> httpx.Response:
        size = getattr(self.limit, "size", MAX_BYTES)
        until = getattr(self.limit, "until", time.monotonic() + 2 * CALL_S)
        response = self._client.send(context.request, stream=True, follow_redirects=False)
        with closing(response):
            if "content-encoding" in response.headers:
                raise OutOfBoundsError("the SuperLink packs its answers")
            content = bytearray()
            for piece in response.iter_raw():
                content += piece
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


class SuperLink:
    """A SuperLink that this node has entered.

    Raises, from every method:
        NodeRefusedError: the SuperLink does not know the node, or no more.
        RoundOverError: the round that asked has ended.
        OutOfBoundsError: more than the bounds.
        UnreachableError: nothing answers, or not a SuperLink.
    """

    def __init__(self, address: Address) -> None:
        """Nothing is contacted yet."""
        private, public = (
            (address.key, address.key.public_key()) if address.key else generate_key_pairs()
        )
        self.address = address
        self._public = public_key_to_bytes(public)
        self._client = _Fleet(address, NodeAuthHttpInterceptor(private, public))
        self._node = Node()
        self._closing = threading.Event()

    def enter(self) -> None:
        """Have the node listed as connected, again if it was dropped."""
        if self.address.key is None:
            with suppress(_KnownError):
                request = RegisterNodeFleetRequest(public_key=self._public)
                self._call(self._client.RegisterNode, request)
        activate = ActivateNodeRequest(public_key=self._public, heartbeat_interval=HEARTBEAT_S)
        self._node = Node(node_id=self._call(self._client.ActivateNode, activate).node_id)
        log.info("connected to %s as node %d", self.address.address, self._node.node_id)

    def leave(self) -> None:
        """Have the node listed as gone; a SuperLink that is gone too is left in peace."""
        self._closing.set()
        self._client.hurry()
        number = self._node.node_id
        with suppress(Exception):
            if number:
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=number))
            if number and self.address.key is None:
                self._client.UnregisterNode(UnregisterNodeFleetRequest(node_id=number))
        self._client.close()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Enter, and leave when the block ends; heartbeats in between."""
        try:
            self.enter()
            threading.Thread(target=self._beat, daemon=True).start()
            yield
        finally:
            self.leave()

    def _beat(self) -> None:
        """Say that the node is there, also while it answers; what fails shows at the next call."""
        while not self._closing.wait(HEARTBEAT_S * 0.6):
            with suppress(Exception):
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

    def fetch(self, asked: Asked) -> Parcel:
        """Fetch the objects of a question."""
        names = list(dict.fromkeys(item.object_id for item in iterate_object_tree(asked.tree)))
        if len(names) > MAX_OBJECTS:
            raise OutOfBoundsError(f"the question has {len(names)} objects")
        objects: dict[str, bytes] = {}
        left, until = MAX_QUESTION_BYTES, time.monotonic() + TRANSFER_S
        for name in names:
            objects[name] = self._fetch(asked.run, name, left, until)
            left -= len(objects[name])
        return Parcel(asked.head, asked.tree, objects)

    def taken(self, asked: Asked) -> None:
        """Tell the SuperLink that the question has arrived; it drops it then."""
        name = asked.head.metadata.message_id
        request = ConfirmMessageReceivedRequest(
            node=self._node, run_id=asked.run, message_object_id=name
        )
        self._call(self._client.ConfirmMessageReceived, request)

    def _fetch(self, run: int, name: str, size: int, until: float) -> bytes:
        request = PullObjectRequest(node=self._node, run_id=run, object_id=name)
        with self._client.reading(size + MAX_BYTES, until):
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
        """Send an answer."""
        run = answer.head.metadata.run_id
        pushed = self._call(
            self._client.PushMessages,
            PushMessagesRequest(
                node=self._node,
                messages_list=[answer.head],
                message_object_trees=[answer.tree],
                clientapp_runtime_list=[seconds],
            ),
        )
        for name in set(pushed.objects_to_push) & set(answer.objects):
            self._call(
                self._client.PushObject,
                PushObjectRequest(
                    node=self._node,
                    run_id=run,
                    session_id=pushed.session_id,
                    object_id=name,
                    object_content=answer.objects[name],
                ),
            )

    def _call(self, method: Callable[[Request], Response], request: Request) -> Response:
        """One call, repeated while nothing answers."""
        now, delay = time.monotonic(), FIRST_DELAY_S
        end, listed = now + self.address.patience, now + LISTED_S
        while True:
            try:
                return method(request)
            except httpx.HTTPStatusError as error:
                fault = self._fault(error.response)
            except httpx.TransportError as error:
                fault = self._unreachable(error)
            except ValueError as error:
                raise UnreachableError(
                    "what answers there is no SuperLink", self.address.address, "check the address"
                ) from error
            last = min(end, listed) if isinstance(fault, NodeRefusedError) else end
            if time.monotonic() + delay > last:
                raise fault
            if delay == FIRST_DELAY_S:
                log.warning("%s; trying again", fault)
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)

    def _unreachable(self, error: httpx.TransportError) -> FederationError:
        text = str(error) or type(error).__name__
        if any(word in text.lower() for word in ("certificate", "ssl", "tls")):
            raise UnreachableError(
                f"no secure connection ({text})",
                self.address.address,
                "check the address, --root-certificates and this machine's clock",
            ) from error
        return UnreachableError(
            f"no SuperLink answers ({text})",
            self.address.address,
            "check the address, the network, and whether the aggregator's SuperLink runs",
        )

    def _fault(self, response: httpx.Response) -> FederationError:
        """The fault behind an HTTP status, if trying again may help; raises it otherwise."""
        code = getattr(FlowerError.from_json(response.text), "code", None)
        where = self.address.address
        if code == ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED:
            raise RoundOverError("the round that asked has ended")
        if code == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
            raise _KnownError("the key is registered already", where)
        if code == ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED:
            raise NodeRefusedError(
                "the SuperLink takes registered nodes only",
                where,
                "give --auth-supernode-private-key",
            )
        if code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
            return NodeRefusedError(
                "the SuperLink refused this node: its key is not registered there, or a node with "
                "the same key is still listed as connected",
                where,
                "have the key's .pub registered, again if the SuperLink was restarted without "
                "--database; after a crash of the node, wait a minute",
            )
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            what = f"the SuperLink is in trouble (HTTP {response.status_code})"
            return UnreachableError(what, where, "ask the aggregator to look at its log")
        raise NodeRefusedError(
            f"the SuperLink refused this node (HTTP {response.status_code}){_clocks(response)}",
            where,
            "check both clocks, and have the aggregator check this node's key and certificate",
        )


def _clocks(response: httpx.Response) -> str:
    """How far this machine's clock is from the SuperLink's, if that may be the reason."""
    try:
        theirs = parsedate_to_datetime(response.headers["date"])
        ahead = (datetime.now(UTC) - theirs).total_seconds()
    except (KeyError, ValueError, TypeError):
        return ""
    if abs(ahead) < CLOCK_TOLERANCE_S:
        return ""
    return f", and this machine's clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
