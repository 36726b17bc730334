"""A SuperLink that sends too much, leads elsewhere or turns the node away, over a real socket."""

import gzip
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fleet_kit import NODE, RUN, Fleet, Plain, fleet_server, question
from flwr.proto.fleet_pb2 import PushMessagesResponse
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse, PushObjectResponse
from flwr.supercore.error import ApiErrorCode

from gdshare.errors import FederationError
from gdshare.messages import Reason
from hospital_node import superlink as module
from hospital_node.faults import (
    AnswerTooLargeError,
    ClockError,
    NodeRefusedError,
    NoSuperLinkError,
    NotRegisteredError,
    NotSecureError,
    OutOfBoundsError,
    RoundOverError,
    TroubleError,
    UnreachableError,
)
from hospital_node.identity import Identity, drawn_key
from hospital_node.parcel import refused
from hospital_node.superlink import Address, Asked, SuperLink


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_server(Fleet()) as running:
        yield running


OPEN: list[SuperLink] = []
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
STATE: list[Path] = []


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    STATE[:] = [tmp_path]
    yield
    while OPEN:
        OPEN.pop().leave()


def to(fleet: Fleet) -> SuperLink:
    """A node at noon; every one of a test has the same state, and so the same key."""
    [state] = STATE
    identity = Identity(drawn_key(state), state)
    OPEN.append(SuperLink(Address(fleet.address, None, None), identity, lambda: NOON))
    return OPEN[-1]


def refusal(code: int, status: int = 412) -> Plain:
    return Plain(status, body=json.dumps({"code": code, "detail": "no"}).encode())


def test_question_arrives_whole_and_is_confirmed(fleet: Fleet) -> None:
    sent = question(number=5)
    fleet.waiting.append(sent)
    superlink = to(fleet)
    superlink.enter()
    asked = superlink.next_question()
    assert asked is not None
    assert asked.run == RUN
    assert superlink.fetch(asked).objects == sent.objects
    superlink.taken(asked)
    assert superlink.next_question() is None
    OPEN.pop().leave()
    assert fleet.calls[:2] == ["register-node", "activate-node"]
    assert fleet.calls[-1] == "deactivate-node"
    assert "unregister-node" not in fleet.calls, "its key would never be taken again"


def test_answer_beyond_its_bound_is_not_read_to_its_end(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    fleet.scripted["pull-messages"] = lambda _: b"x" * 2000
    with pytest.raises(OutOfBoundsError, match="more than 1000 bytes"):
        to(fleet).next_question()


def test_packed_answer_is_not_unpacked(fleet: Fleet) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    fleet.scripted["pull-messages"] = lambda _: Plain(200, {"content-encoding": "gzip"}, bomb)
    with pytest.raises(OutOfBoundsError, match="packs"):
        to(fleet).next_question()


def test_question_of_too_many_bytes_in_all_is_refused(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUESTION_BYTES", 1000)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    fleet.scripted["pull-object"] = lambda _: PullObjectResponse(
        object_found=True, object_available=True, object_content=bytes(600)
    ).SerializeToString()
    asked = question()
    with pytest.raises(OutOfBoundsError):
        to(fleet).fetch(Asked(asked.head, asked.tree))
    assert len(fleet.calls) == 2, "the second object is one too many, the third not asked for"


def test_question_of_too_many_objects_is_refused_unfetched(fleet: Fleet) -> None:
    children = [ObjectTree(object_id=f"{number:064x}") for number in range(100)]
    tree = ObjectTree(object_id="f" * 64, children=children)
    with pytest.raises(OutOfBoundsError, match="101 objects"):
        to(fleet).fetch(Asked(question().head, tree))
    assert fleet.calls == []


def test_object_that_never_comes_is_not_waited_for_for_ever(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRANSFER_S", 0.3)
    monkeypatch.setattr(module, "OBJECT_POLL_S", 0.1)
    fleet.scripted["pull-object"] = lambda _: PullObjectResponse(
        object_found=True
    ).SerializeToString()
    asked = question()
    began = time.monotonic()
    with pytest.raises(OutOfBoundsError, match="in time"):
        to(fleet).fetch(Asked(asked.head, asked.tree))
    assert time.monotonic() - began < 5


def test_redirection_is_not_followed(fleet: Fleet) -> None:
    fleet.scripted["pull-messages"] = lambda _: Plain(307, {"location": "/v1/fleet/elsewhere"})
    with pytest.raises(NoSuperLinkError, match="HTTP 307"):
        to(fleet).next_question()
    assert fleet.calls == ["pull-messages"]


@pytest.mark.parametrize(
    ("ahead", "told"),
    [(6, "6 s ahead of"), (60, "60 s ahead of"), (-400, "400 s behind"), (5, "5 s ahead of")],
)
@pytest.mark.parametrize("status", [401, 403])
def test_clock_that_differs_is_reported(fleet: Fleet, ahead: int, told: str, status: int) -> None:
    theirs = format_datetime(NOON - timedelta(seconds=ahead), usegmt=True)
    fleet.scripted["activate-node"] = lambda _: Plain(status, {"date": theirs})
    with pytest.raises(ClockError) as refused:
        to(fleet).enter()
    assert (
        f"this machine's clock is {told} the SuperLink's, which allows 5 s ahead and 300 s behind, "
        f"and so refused this node (HTTP {status}); set the clock"
    ) in str(refused.value)


@pytest.mark.parametrize("ahead", [4, 0, -299])
def test_clock_that_the_superlink_allows_is_no_cause(fleet: Fleet, ahead: int) -> None:
    theirs = format_datetime(NOON - timedelta(seconds=ahead), usegmt=True)
    fleet.scripted["activate-node"] = lambda _: Plain(401, {"date": theirs})
    with pytest.raises(NodeRefusedError, match="check both clocks") as refused:
        to(fleet).enter()
    assert not isinstance(refused.value, ClockError)


def test_refusal_without_a_date_still_says_to_check_both_clocks(fleet: Fleet) -> None:
    fleet.scripted["activate-node"] = lambda _: Plain(401)
    with pytest.raises(NodeRefusedError, match=r"refused this node.*check both clocks"):
        to(fleet).enter()


def test_unregistered_key_is_reported(fleet: Fleet) -> None:
    fleet.scripted["activate-node"] = lambda _: refusal(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED)
    with pytest.raises(NodeRefusedError, match="its key is not registered"):
        to(fleet).enter()


def test_superlink_that_wants_registered_nodes_is_told_at_once(fleet: Fleet) -> None:
    code = ApiErrorCode.FLEET_SUPERNODE_REGISTRATION_DISABLED
    fleet.scripted["register-node"] = lambda _: refusal(code)
    with pytest.raises(NotRegisteredError, match="registered nodes only"):
        to(fleet).enter()


def test_heartbeats_go_on_while_a_question_is_answered(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 1)
    superlink = to(fleet)
    superlink.enter()
    with superlink.connected():
        end = time.monotonic() + 20
        while fleet.calls.count("send-node-heartbeat") < 2 and time.monotonic() < end:
            time.sleep(0.05)
    OPEN.clear()
    assert fleet.calls.count("send-node-heartbeat") >= 2


def test_round_that_ended_is_no_refusal_of_the_node(fleet: Fleet) -> None:
    code = ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED
    fleet.scripted["get-run"] = lambda _: refusal(code, 403)
    asked = question()
    with pytest.raises(RoundOverError):
        to(fleet).app_of(Asked(asked.head, asked.tree))


@pytest.mark.parametrize("status", [500, 502, 503])
def test_trouble_at_the_superlink_is_reported(fleet: Fleet, status: int) -> None:
    fleet.scripted["pull-messages"] = lambda _: Plain(status)
    with pytest.raises(TroubleError, match=rf"in trouble \(HTTP {status}\)"):
        to(fleet).next_question()


def test_answer_that_a_proxy_finds_too_large_is_reported(fleet: Fleet) -> None:
    fleet.scripted["push-object"] = lambda _: Plain(413)
    with pytest.raises(AnswerTooLargeError, match="HTTP 413"):
        to(fleet).send(refused(question().head, Reason.FAULT), 0.0)


def test_other_end_that_speaks_no_tls_is_reported(fleet: Fleet, tmp_path: Path) -> None:
    identity = Identity(drawn_key(tmp_path), tmp_path)
    OPEN.append(SuperLink(Address(fleet.address, ssl.create_default_context(), None), identity))
    with pytest.raises(NotSecureError, match="no secure connection"):
        OPEN[-1].enter()


def test_what_is_no_superlink_is_reported(fleet: Fleet) -> None:
    fleet.scripted["register-node"] = lambda _: b"<html>"
    with pytest.raises(NoSuperLinkError, match="is no SuperLink"):
        to(fleet).enter()


def test_port_where_nothing_listens_is_reported() -> None:
    with fleet_server(Fleet()) as gone:
        pass
    with pytest.raises(UnreachableError, match="no SuperLink answers"):
        to(gone).enter()


def test_node_that_the_superlink_still_lists_enters_again(fleet: Fleet) -> None:
    fleet.scripted["register-node"] = lambda _: refusal(ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE)
    superlink = to(fleet)
    superlink.enter()
    assert superlink._node.node_id == NODE


def test_node_that_was_killed_is_taken_off_the_list_by_its_next_process(fleet: Fleet) -> None:
    to(fleet).enter()
    calls = len(fleet.calls)
    listed = [refusal(ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED)]
    sound = fleet._activate_node
    fleet.scripted["activate-node"] = lambda body: listed.pop() if listed else sound(body)
    again = to(fleet)
    again.enter()
    assert again.node_id == NODE
    assert fleet.calls[calls:] == [
        "register-node",
        "activate-node",
        "deactivate-node",
        "activate-node",
    ]


def test_number_at_another_superlink_is_not_given_away(fleet: Fleet) -> None:
    to(fleet).enter()
    with fleet_server(Fleet()) as other:
        other.scripted["activate-node"] = lambda _: refusal(
            ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED
        )
        with pytest.raises(NotRegisteredError):
            to(other).enter()
        assert "deactivate-node" not in other.calls


def test_key_that_was_drawn_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    first = drawn_key(tmp_path)
    again = drawn_key(tmp_path)
    assert first.private_numbers() == again.private_numbers()
    assert (tmp_path / "node-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["{", '{"node": -1}', "", "\xff"])
def test_number_that_is_damaged_costs_nothing_but_a_minute(fleet: Fleet, content: str) -> None:
    [state] = STATE
    (state / "node.json").write_bytes(content.encode("latin-1"))
    superlink = to(fleet)
    superlink.enter()
    assert superlink.node_id == NODE


def _as_flower(fleet: Fleet) -> None:
    """As Flower has it: an answer that is announced again lacks nothing, whatever is there."""
    sound, announced = fleet._push_messages, []

    def announce(body: bytes) -> bytes:
        if announced:
            return PushMessagesResponse(session_id="another").SerializeToString()
        announced.append(body)
        return sound(body)

    fleet.scripted["push-messages"] = announce


def test_answer_that_was_cut_off_is_sent_on_and_not_announced_again(fleet: Fleet) -> None:
    _as_flower(fleet)
    answer, superlink = refused(question().head, Reason.BUSY), to(fleet)
    fleet.scripted["push-object"] = lambda body: (
        fleet._push_object(body) if fleet.calls.count("push-object") == 1 else Plain(504)
    )
    with pytest.raises(FederationError):
        superlink.send(answer, 1.0)
    del fleet.scripted["push-object"]
    superlink.send(answer, 1.0)
    assert fleet.calls.count("push-messages") == 1
    assert fleet.calls.count("push-object") == len(answer.objects) + 1


def test_answer_whose_announcement_was_not_confirmed_is_sent_whole(fleet: Fleet) -> None:
    _as_flower(fleet)
    answer, superlink = refused(question().head, Reason.BUSY), to(fleet)
    announce = fleet.scripted["push-messages"]

    def unconfirmed(body: bytes) -> Plain:
        announce(body)
        fleet.scripted["push-messages"] = announce
        return Plain(504)

    fleet.scripted["push-messages"] = unconfirmed
    with pytest.raises(FederationError):
        superlink.send(answer, 1.0)
    superlink.send(answer, 1.0)
    assert set(fleet._pushed) == set(answer.objects)


def test_answer_whose_session_has_expired_is_announced_again(fleet: Fleet) -> None:
    answer, superlink = refused(question().head, Reason.BUSY), to(fleet)

    def expired(_: bytes) -> bytes:
        del fleet.scripted["push-object"]
        return PushObjectResponse(stored=False).SerializeToString()

    fleet.scripted["push-object"] = expired
    superlink.send(answer, 1.0)
    assert fleet.calls.count("push-messages") == 2
    assert set(fleet._pushed) == set(answer.objects)
