"""What a question may cost and see, from the SuperLink to the process that answers it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_kit import Fleet, fleet_server, question
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from node_kit import EndOfTestError, identity, run_node
from process_kit import environment
from site_kit import make_bundle, write_files

from gdshare.messages import Reason
from gdshare.signing import new_key
from hospital_node import apart, desk
from hospital_node.apart import answer_apart
from hospital_node.node import IDLE_POLL_S, LONGEST_POLL_S, pause_after, serve
from hospital_node.parcel import Parcel
from hospital_node.settings import NodeSettings
from hospital_node.superlink import Address, SuperLink
from hospital_node.work import FILE, grant


@pytest.fixture(autouse=True)
def same_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answering process imports what the tests import."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    write_files(tmp_path / "outbox" / "north-1", make_bundle("north", new_key()))
    (tmp_path / "state").mkdir()
    return NodeSettings(outbox=tmp_path / "outbox", state=tmp_path / "state")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_server(Fleet()) as running:
        yield running


def answers(fleet: Fleet, settings: NodeSettings, *questions: Parcel) -> list[dict[str, object]]:
    """Have a node answer questions, and end it when all are answered."""
    fleet.waiting.extend(questions)
    until = len(fleet.answers) + len(questions)
    run_node(fleet, settings, lambda: len(fleet.answers) >= until)
    return fleet.answers


def test_answers_in_a_process_of_its_own(fleet: Fleet, settings: NodeSettings) -> None:
    [answer] = answers(fleet, settings, question())
    assert "distilled.safetensors" in answer
    assert 0 < json.loads((settings.state / FILE).read_text())["hours"].popitem()[1] < 60


def test_no_app_is_ever_fetched(fleet: Fleet, settings: NodeSettings) -> None:
    answers(fleet, settings, question())
    assert "get-fab" not in fleet.calls


def test_question_of_another_app_is_refused_unfetched(fleet: Fleet, settings: NodeSettings) -> None:
    fleet.fab_hash = "0" * 64
    assert answers(fleet, settings, question()) == [{"refused": "other-app"}]
    assert "pull-object" not in fleet.calls


def test_a_fourth_kind_of_question_is_refused_unfetched(
    fleet: Fleet, settings: NodeSettings
) -> None:
    asked = question("train.collect")
    assert answers(fleet, settings, asked) == [{"refused": "question-malformed"}]
    assert "pull-object" not in fleet.calls


def test_objects_that_are_no_message_are_one_word(fleet: Fleet, settings: NodeSettings) -> None:
    sound = question()
    noise = Parcel(sound.head, sound.tree, dict.fromkeys(sound.objects, b"/etc/passwd \xff"))
    alone = Parcel(sound.head, ObjectTree(object_id="e" * 64), {"e" * 64: b""})
    told = answers(fleet, settings, noise, alone)
    assert told == [{"refused": "fault"}, {"refused": "fault"}]


def test_question_that_is_too_large_is_one_word(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hospital_node.superlink.MAX_OBJECTS", 2)
    assert answers(fleet, settings, question()) == [{"refused": "question-too-large"}]


def test_spent_day_is_one_word_and_nothing_is_fetched(
    fleet: Fleet,
    settings: NodeSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grant(settings.state, settings.daily_seconds, settings.daily_seconds)
    told = answers(fleet, settings, question(), question())
    assert told == [{"refused": "daily-limit"}] * 2
    assert "pull-object" not in fleet.calls
    assert "14400 s of computing for others in 24 hours are spent" in caplog.text


def test_record_of_the_day_that_is_damaged_lets_nothing_be_computed(
    fleet: Fleet, settings: NodeSettings
) -> None:
    (settings.state / FILE).write_text("{")
    assert answers(fleet, settings, question()) == [{"refused": "fault"}]


@pytest.mark.parametrize("field", ["ttl", "created_at"])
def test_question_that_nobody_ever_stops_waiting_for_takes_no_more_than_the_day(
    settings: NodeSettings, field: str
) -> None:
    head = ProtoMessage()
    head.CopyFrom(question().head)
    setattr(head.metadata, field, float("nan"))
    assert desk._wanted(head, settings) == settings.daily_seconds


def test_answer_that_takes_too_long_is_ended_with_all_it_started(
    settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"sleep 60 & echo $! >{tmp_path}/child; sleep 60"
    monkeypatch.setattr(apart, "COMMAND", ("sh", "-c", script))
    began = time.monotonic()
    outcome = answer_apart(question(), settings, 1)
    assert (outcome.answer, outcome.in_time) == (None, False)
    assert 1 <= outcome.seconds <= time.monotonic() - began < 20
    time.sleep(0.2)
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "cmdline"
    assert not child.exists() or child.read_bytes() == b""


def test_time_limit_is_one_word(
    fleet: Fleet, settings: NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_wanted", lambda *_: 1.0)
    monkeypatch.setattr(apart, "COMMAND", ("sh", "-c", "sleep 60"))
    assert answers(fleet, settings, question()) == [{"refused": Reason.TIME_LIMIT}]


def test_process_that_dies_is_one_word(
    fleet: Fleet,
    settings: NodeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(apart, "COMMAND", ("sh", "-c", "cat >/dev/null; kill -9 $$"))
    assert answers(fleet, settings, question()) == [{"refused": "fault"}]
    assert "ended with status -9" in caplog.text


def test_process_that_answers_gets_no_passphrase(
    settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "secret")
    script = f"cat >/dev/null; env >{tmp_path}/environment"
    monkeypatch.setattr(apart, "COMMAND", ("sh", "-c", script))
    answer_apart(question(), settings, 30)
    assert "secret" not in (tmp_path / "environment").read_text()
    assert os.environ["GDSHARE_PASSPHRASE"] == "secret"


def test_superlink_that_is_slow_to_answer_is_asked_less_often(
    fleet: Fleet, settings: NodeSettings
) -> None:
    def slowly(_: bytes) -> bytes:
        time.sleep(0.5)
        return b""

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise EndOfTestError

    fleet.scripted["pull-messages"] = slowly
    superlink = SuperLink(Address(fleet.address, None, None), identity(settings))
    with pytest.raises(EndOfTestError), superlink.connected():
        serve(superlink, settings, pause=pause)
    assert all(5 <= seconds <= LONGEST_POLL_S for seconds in pauses)


def test_superlink_is_asked_soon_where_a_question_is_expected_and_never_after_long() -> None:
    assert pause_after(0.01, soon=True) < 1
    assert pause_after(0.01, soon=False) == IDLE_POLL_S
    assert pause_after(1000.0, soon=True) == LONGEST_POLL_S
