"""A SuperLink that sends too much, leads elsewhere or turns the node away, over a real socket."""

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fleet_kit import NODE, RUN, Fleet, Plain, fleet_server, question
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse
from flwr.supercore.error import ApiErrorCode

from gdshare.errors import FederationError
from hospital_node import superlink as module
from hospital_node.superlink import (
    Address,
    Asked,
    NodeRefusedError,
    OutOfBoundsError,
    RoundOverError,
    SuperLink,
    UnreachableError,
)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_server(Fleet()) as running:
        yield running


OPEN: list[SuperLink] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().leave()


def to(fleet: Fleet, patience: float = 0.1) -> SuperLink:
    OPEN.append(SuperLink(Address(fleet.address, None, None, patience)))
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
    assert fleet.calls[-2:] == ["deactivate-node", "unregister-node"]


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
    with pytest.raises(NodeRefusedError, match="HTTP 307"):
        to(fleet).next_question()
    assert fleet.calls == ["pull-messages"]


@pytest.mark.parametrize(("seconds", "told"), [(-60, r"6\d s ahead"), (400, r"(399|400) s behind")])
def test_clock_that_differs_is_reported(fleet: Fleet, seconds: int, told: str) -> None:
    theirs = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    fleet.scripted["activate-node"] = lambda _: Plain(401, {"date": theirs})
    with pytest.raises(NodeRefusedError, match=f"refused this node.*{told}; check both clocks"):
        to(fleet).enter()


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
    with pytest.raises(NodeRefusedError, match="registered nodes only"):
        to(fleet, patience=60).enter()


def test_heartbeats_go_on_while_a_question_is_answered(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 1)
    with to(fleet).connected():
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


def test_trouble_at_the_superlink_passes(fleet: Fleet) -> None:
    answers = [Plain(500), Plain(502), PullMessagesResponse().SerializeToString()]
    fleet.scripted["pull-messages"] = lambda _: answers.pop(0)
    assert to(fleet, patience=20).next_question() is None
    assert answers == []


def test_what_is_no_superlink_is_reported(fleet: Fleet) -> None:
    fleet.scripted["register-node"] = lambda _: b"<html>"
    with pytest.raises(UnreachableError, match="is no SuperLink"):
        to(fleet).enter()


def test_port_where_nothing_listens_is_reported() -> None:
    with fleet_server(Fleet()) as gone:
        pass
    with pytest.raises(FederationError, match="no SuperLink answers"):
        to(gone).enter()


def test_node_that_the_superlink_still_lists_enters_again(fleet: Fleet) -> None:
    fleet.scripted["register-node"] = lambda _: refusal(ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE)
    superlink = to(fleet)
    superlink.enter()
    assert superlink._node.node_id == NODE
