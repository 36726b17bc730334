"""Asking nodes that are late, cut off, restarted or busy, in virtual time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from grid_kit import MemoryGrid, VirtualClock, numbered

from aggregator.flower.exchange import MAX_ANSWER_BYTES, Exchange, Question
from aggregator.record import RoundRecord, open_record
from gdshare.messages import ANSWER_RECORD, REQUEST_RECORD, Progress, Reason, Value, refusal

COUNT = "evaluate.counts"
Answer = Mapping[str, Value] | Error | None


@dataclass
class TimedGrid(MemoryGrid):
    """Nodes whose answers, and whose being there, are functions of the time.

    Attributes:
        clock: of the exchange.
        online: node -> whether it is there now.
        answer: node, kind, fields, time -> the answer; None: it is lost.
    """

    clock: VirtualClock = field(default_factory=VirtualClock)
    online: Callable[[int, float], bool] = lambda node, now: True
    answer: Callable[[int, str, dict[str, object], float], Answer] = lambda *_: {}
    sent: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)

    def get_node_ids(self) -> list[int]:
        return [node for node in self.settings if self.online(node, self.clock.seconds)]

    def push_messages(self, messages: object) -> list[str]:
        numbers = []
        for message in messages:  # type: ignore[attr-defined]
            number = numbered(message).metadata.message_id
            numbers.append(number)
            node, kind = message.metadata.dst_node_id, message.metadata.message_type
            fields = dict(message.content.config_records[REQUEST_RECORD])
            self.sent.append((node, kind, fields))
            answer = self.answer(node, kind, fields, self.clock.seconds)
            if isinstance(answer, Error):
                self.replies[number] = Message(answer, reply_to=message)
            elif answer is not None:
                content = RecordDict({ANSWER_RECORD: ConfigRecord(dict(answer))})
                self.replies[number] = Message(content, reply_to=message)
        return numbers

    def kinds(self, kind: str) -> list[int]:
        return [node for node, sent, _ in self.sent if sent == kind]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[RoundRecord]:
    with open_record(tmp_path / "round.sqlite", lambda: datetime.now(UTC)) as opened:
        yield opened


def question(node: int) -> Question:
    return Question(f"q/{node}", node, COUNT, lambda known: {}, f"site-{node}")


def exchange(grid: TimedGrid, record: RoundRecord, deadline: float = 600.0) -> Exchange:
    return Exchange(grid, record, 300.0, deadline, grid.clock)


def test_site_that_is_cut_off_is_asked_when_it_comes_back(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}, 2: {}}, answer=lambda *_: {"n": 1})
    grid.online = lambda node, now: node == 1 or now > 60
    answers = exchange(grid, record).ask([question(1), question(2)], "both", "count")
    assert set(answers.given) == {"q/1", "q/2"}
    assert 60 < grid.clock.seconds < 70
    assert grid.kinds(COUNT) == [1, 2]


def test_site_that_does_not_come_back_is_waited_for_until_the_deadline(
    record: RoundRecord,
) -> None:
    grid = TimedGrid({1: {}, 2: {}}, answer=lambda *_: {"n": 1})
    grid.online = lambda node, now: node == 1
    answers = exchange(grid, record, 100.0).ask([question(1), question(2)], "both", "count")
    assert set(answers.given) == {"q/1"}
    assert 100 <= grid.clock.seconds < 103
    assert {state.site: state.doing for state in record.nodes()} == {
        "site-1": "answered",
        "site-2": "offline",
    }


def test_log_says_how_many_have_answered_and_whom_it_waits_for(
    record: RoundRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[int, int, str]] = []

    @contextmanager
    def lines(description: str, say: object) -> Iterator[Callable[[int, int, str], None]]:
        yield lambda done, total, detail: said.append((done, total, detail))

    monkeypatch.setattr("aggregator.flower.exchange.lines", lines)
    grid = TimedGrid({node: {} for node in range(1, 21)}, answer=lambda *_: {"n": 1})
    grid.online = lambda node, now: now > 60 or node < 3 or (node > 8 and now > 30)
    exchange(grid, record).ask([question(node) for node in range(1, 21)], "many", "count")
    assert said[0] == (2, 20, "not yet 18 hospitals")
    names = ", ".join(f"site-{node}" for node in range(3, 9))
    assert (14, 20, f"not yet {names}") in said


def test_reply_that_the_superlink_gave_up_is_asked_for_again(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}})
    grid.answer = lambda n, k, f, now: {"n": 1} if now > 30 else Error(code=3, reason="away")
    assert set(exchange(grid, record).ask([question(1)], "it", "count").given) == {"q/1"}
    assert grid.clock.seconds < 70


def test_node_whose_replies_are_always_lost_is_asked_ever_more_seldom(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}}, answer=lambda *_: Error(code=3, reason="away"))
    exchange(grid, record, 600.0).ask([question(1)], "it", "count")
    assert 10 <= len(grid.kinds(COUNT)) <= 16


def test_question_that_a_restarted_node_lost_is_asked_again(record: RoundRecord) -> None:
    """The first is taken and never answered; the node says that it has nothing to do."""

    def answer(node: int, kind: str, fields: object, now: float) -> Answer:
        if kind == "query.progress":
            return Progress().to_fields()
        return {"n": 1} if now > 1 else None

    grid = TimedGrid({1: {}}, answer=answer)
    assert set(exchange(grid, record).ask([question(1)], "it", "count").given) == {"q/1"}
    assert grid.kinds(COUNT) == [1, 1]
    assert grid.clock.seconds < 20


def test_node_that_is_at_work_is_not_asked_again_and_its_films_are_shown(
    record: RoundRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aggregator")
    grid = TimedGrid({1: {}})

    def answer(node: int, kind: str, fields: object, now: float) -> Answer:
        if kind == "query.progress":
            return Progress("counting", 10, 23, "m", 0, 30).to_fields()
        return None

    grid.answer = answer
    answers = exchange(grid, record, 60.0).ask([question(1)], "it", "count")
    assert (answers.given, answers.refused) == ({}, {})
    assert grid.kinds(COUNT) == [1]
    [state] = record.nodes()
    assert (state.doing, state.done, state.total) == ("counting", 10, 23)
    assert "site-1: film 10 of 23" in caplog.messages


@pytest.mark.parametrize("lie", [{}, {"doing": "resting"}, {"doing": "idle", "waiting": -1}])
def test_lie_about_progress_changes_nothing(record: RoundRecord, lie: dict[str, Value]) -> None:
    grid = TimedGrid({1: {}})
    grid.answer = lambda n, kind, f, now: lie if kind == "query.progress" else None
    exchange(grid, record, 60.0).ask([question(1)], "it", "count")
    assert grid.kinds(COUNT) == [1]


def test_busy_node_is_asked_later_and_one_that_refuses_is_not(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}, 2: {}})

    def answer(node: int, kind: str, fields: object, now: float) -> Answer:
        if node == 2:
            return refusal(Reason.TOO_FEW_FILMS)
        return {"n": 1} if now > 40 else refusal(Reason.BUSY)

    grid.answer = answer
    answers = exchange(grid, record).ask([question(1), question(2)], "both", "count")
    assert set(answers.given) == {"q/1"}
    assert answers.refused == {"q/2": Reason.TOO_FEW_FILMS}
    assert grid.kinds(COUNT).count(2) == 1
    assert grid.kinds(COUNT).count(1) == 4


def test_node_that_lost_what_it_was_shown_is_shown_it_again(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}})
    grid.answer = lambda n, k, fields, now: (
        {"n": 1} if fields == {"all": b"x"} else refusal(Reason.BUNDLE_UNKNOWN)
    )
    record.set_known(1, ["d"])
    asked = Question(
        "q", 1, COUNT, lambda known: {"named": "d"} if "d" in known else {"all": b"x"}, "", ["d"]
    )
    assert set(exchange(grid, record).ask([asked], "it", "count").given) == {"q"}
    assert [fields for _, _, fields in grid.sent] == [{"named": "d"}, {"all": b"x"}]
    assert record.known(1) == {"d"}


def test_node_that_knows_nothing_and_refuses_the_whole_is_not_asked_for_ever(
    record: RoundRecord,
) -> None:
    grid = TimedGrid({1: {}}, answer=lambda *_: refusal(Reason.MODEL_UNKNOWN))
    answers = exchange(grid, record).ask([question(1)], "it", "count")
    assert answers.refused == {"q/1": Reason.MODEL_UNKNOWN}
    assert len(grid.sent) == 1


def test_kept_answer_is_not_asked_for(record: RoundRecord) -> None:
    record.keep("q/1", 1, {"n": 5})
    grid = TimedGrid({1: {}})
    assert exchange(grid, record).ask([question(1)], "it", "count").given == {"q/1": {"n": 5}}
    assert grid.sent == []


def test_node_that_connects_late_is_asked_too(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}, 2: {}}, answer=lambda *_: {"n": 1})
    grid.online = lambda node, now: node == 1 or now > 60
    answers = exchange(grid, record).ask([question(1)], "it", "hand over", question, expected=2)
    assert set(answers.given) == {"q/1", "q/2"}


def test_reply_that_cannot_be_unpacked_takes_no_other_along(record: RoundRecord) -> None:
    """One node packs rubbish, over which Flower stumbles; the other's answer is kept."""

    class Stumbling(TimedGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            replies = list(super().pull_messages(message_ids))
            if any(reply.content["answer"].get("rubbish") for reply in replies):
                raise RecursionError
            return replies

    grid = Stumbling({1: {}, 2: {}})

    def answer(node: int, kind: str, fields: object, now: float) -> Answer:
        if kind == "query.progress":
            return Progress().to_fields()
        return {"rubbish": True} if node == 1 else {"n": 1}

    grid.answer = answer
    answers = exchange(grid, record).ask([question(1), question(2)], "both", "count")
    assert set(answers.given) == {"q/2"}
    assert answers.refused == {"q/1": Reason.FAULT}


def test_answer_beyond_all_that_a_hospital_may_send_is_not_kept(record: RoundRecord) -> None:
    grid = TimedGrid({1: {}}, answer=lambda *_: {"file": bytes(MAX_ANSWER_BYTES + 1)})
    answers = exchange(grid, record).ask([question(1)], "it", "hand over")
    assert answers.refused == {"q/1": Reason.FAULT}
    assert record.answer("q/1") is None


class KilledError(BaseException):
    """What a kill does to the code: it goes no further, and tidies nothing."""


@dataclass
class Restarts:
    """A step that is killed, and begun again by another process with a clock of its own.

    Attributes:
        path: of the round's record.
        deadline: of the step; a node has 300 s for an answer.
        wall: what the clock of the machine says, which somebody may set.
    """

    path: Path
    deadline: float = 600.0
    wall: datetime = datetime(2026, 3, 31, tzinfo=UTC)

    def wait(self, killed_after: float = float("inf"), what: str = "count") -> float:
        """Seconds that a process waits for a hospital that is away, and comes back for no one."""
        grid = TimedGrid({1: {}})

        def online(node: int, now: float) -> bool:
            if now >= killed_after:
                raise KilledError
            return False

        grid.online = online
        with open_record(self.path, lambda: self.wall) as record, suppress(KilledError):
            exchange(grid, record, self.deadline).ask([question(1)], "it", what)
        return grid.clock.seconds


@pytest.fixture
def restarts(tmp_path: Path) -> Restarts:
    return Restarts(tmp_path / "round.sqlite")


def test_restarted_step_goes_on_with_the_time_that_was_left(restarts: Restarts) -> None:
    """But for the ten seconds, at most, since it was last written down."""
    assert 200 <= restarts.wait(killed_after=200) < 203
    assert 400 <= restarts.wait() < 412


def test_restarts_add_up(restarts: Restarts) -> None:
    assert 100 <= restarts.wait(killed_after=100) < 103
    assert 150 <= restarts.wait(killed_after=150) < 153
    assert 350 <= restarts.wait() < 373


def test_restarted_step_has_time_for_one_answer_whatever_was_left(restarts: Restarts) -> None:
    """Its question was lost with the process, and a node has 300 s for an answer."""
    restarts.wait(killed_after=590)
    assert 300 <= restarts.wait() < 303
    restarts.deadline = 60.0  # shorter than an answer may take: the whole of it
    restarts.wait(killed_after=50)
    assert 60 <= restarts.wait() < 63


@pytest.mark.parametrize("days", [1, -1, 400])
def test_time_in_which_nothing_ran_and_a_clock_that_was_set_take_nothing(
    restarts: Restarts, days: int
) -> None:
    restarts.wait(killed_after=100)
    restarts.wall += timedelta(days=days)
    assert 500 <= restarts.wait() < 512


def test_longer_deadline_is_that_much_longer_for_a_step_that_goes_on(restarts: Restarts) -> None:
    restarts.wait(killed_after=200)
    restarts.deadline = 1000.0
    assert 800 <= restarts.wait() < 812


def test_another_step_has_its_whole_time(restarts: Restarts) -> None:
    restarts.wait(killed_after=200)
    assert 600 <= restarts.wait(what="count test films") < 603
    assert 400 <= restarts.wait() < 412
