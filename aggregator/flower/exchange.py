"""Asking hospitals, again if need be, until each has answered or the time is up.

A reply is matched by the message it replies to, never by what it says about itself. A hospital that
is offline is asked when it comes back, and one whose question was lost (its node was restarted, the
SuperLink gave it up, the link was cut) is asked again. That is harmless: a node answers an equal
question with the counts that it has recorded. Every answer is in the round's record before the next
is read, and a question with a kept answer is not asked.

::

    exchange = Exchange(grid, record, timeout=1800)
    answers = exchange.ask([Question("collect/7", 7, "query.collect", lambda known: {})], who, what)
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from aggregator.record import RoundRecord
from gdshare.bundle.attestation import MAX_BYTES
from gdshare.bundle.layout import BOUNDS
from gdshare.messages import (
    ANSWER_RECORD,
    MAX_WITHDRAWALS,
    PROGRESS,
    REQUEST_RECORD,
    Fields,
    Progress,
    Reason,
    RequestError,
    Value,
    refusal,
    refusal_in,
)
from gdshare.progress import Report, lines

log = logging.getLogger(__name__)

TIME_TO_LIVE_MARGIN: Final = 60.0
"""Seconds a message outlives the wait for it: a late reply is dropped, not undeliverable."""
FIRST_POLL_S, LONGEST_POLL_S, POLLS_AN_AGE = 0.3, 2.0, 20.0
PROGRESS_S: Final = 10.0
"""How often a node is asked what it is doing. While it computes, it looks for questions every three
seconds, so a shorter time would seldom tell more; a longer one leaves a lost question lost for
longer. For people it is often enough: films are told in tens."""
UNHEARD_S: Final = 60.0
"""After so long without an answer to that, it is asked once more."""
LONGEST_PAUSE_S: Final = 60.0
"""Before a question is asked again whose reply was lost, 4 s and then twice as long each time."""
BUSY_S: Final = 15.0
"""How long a node that is busy is left alone."""
MAX_FIELDS: Final = 10_000
"""Of an answer; more withdrawals than are read are still refused by their own name."""
MAX_ANSWER_BYTES: Final = sum(BOUNDS.values()) + MAX_WITHDRAWALS * MAX_BYTES
PROGRESS_KIND: Final = f"query.{PROGRESS}"
MOST_NAMED: Final = 10
"""Hospitals in a line of the log."""
WRITE_DOWN_S: Final = 10.0
"""How often the record is told how long a step has waited; a kill takes so much of it away."""
WAITED: Final = "waited/"
"""How the name of a fact begins that keeps that."""
REFUSED: Final = "refused/"
"""How the name of a fact begins that keeps the last refusal of a question."""
UNKNOWN: Final = (Reason.BUNDLE_UNKNOWN, Reason.MODEL_UNKNOWN)


class Clock(Protocol):
    """Seconds that nobody sets, and waiting; the module ``time`` is one."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True)
class Question:
    """What one node is asked.

    Attributes:
        key: its name in the round's record.
        node: Flower's number.
        kind: message type, such as ``query.collect``.
        fields: from the digests that the node has to the fields to send, as short as they allow.
        site: the hospital; empty while it is not known.
        shows: digests of the bundles and the model that the node has once it has answered.
    """

    key: str
    node: int
    kind: str
    fields: Callable[[frozenset[str]], Mapping[str, Value]]
    site: str = ""
    shows: Sequence[str] = ()

    @property
    def label(self) -> str:
        """The hospital, or the node."""
        return self.site or f"node {self.node}"


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


@dataclass(frozen=True)
class Answers:
    """What came back, by the question's key; a key in neither was not answered.

    Attributes:
        given: fields from a stranger.
        refused: the reason.
    """

    given: Mapping[str, Fields]
    refused: Mapping[str, Reason]


@dataclass(frozen=True)
class Exchange:
    """Flower's way to the nodes, and the record of what they said.

    Attributes:
        grid: of the run.
        record: of the round.
        timeout: seconds a node has for one answer.
        deadline: seconds a step waits for hospitals that are late or come back; None: ``timeout``.
        clock: nobody's.
    """

    grid: Grid
    record: RoundRecord
    timeout: float
    deadline: float | None = None
    clock: Clock = time

    @property
    def patience(self) -> float:
        """Seconds of a step."""
        return self.timeout if self.deadline is None else self.deadline

    def left(self, step: str) -> float:
        """Seconds that a step has left which was interrupted, and may have been before.

        Its questions are asked anew, and a node has ``timeout`` for an answer: so much is always
        left. Counted is only the time in which the step waited. The clock that people set has no
        part in this, and a machine that was off for a day has taken nothing from the hospitals.
        """
        waited = self.record.fact(f"{WAITED}{step}")
        spent = float(waited) if isinstance(waited, int | float) else 0.0
        return max(self.patience - spent, min(self.patience, self.timeout))

    def set_left(self, step: str, left: float) -> None:
        """Have the record know it."""
        self.record.set_fact(f"{WAITED}{step}", round(self.patience - left, 3))

    def begin_anew(self) -> None:
        """Give every step its whole time: of a round that stopped by itself, to wait for more."""
        self.record.forget_facts(WAITED)

    def kept(self, questions: Iterable[Question]) -> Answers:
        """The answers that the record has; nobody is asked."""
        found = {question.key: self.record.answer(question.key) for question in questions}
        given = {key: answer for key, answer in found.items() if answer is not None}
        words = {key: self.record.fact(f"{REFUSED}{key}") for key in found if key not in given}
        refused = {key: Reason(word) for key, word in words.items() if isinstance(word, str)}
        return Answers(given, refused)

    def ask(
        self,
        questions: Sequence[Question],
        who: str,
        what: str,
        newcomer: Callable[[int], Question] | None = None,
        expected: int = 0,
    ) -> Answers:
        """Have questions answered; the log says whom it waits for, since when.

        Args:
            questions: at most one for each key.
            who: the nodes, for the log, such as ``st-mary, tokyo``.
            what: they are asked to do, such as ``count validation films``.
            newcomer: what a node is asked that connects meanwhile; None: nothing.
            expected: with ``newcomer``, how many nodes to wait for.
        """
        asking = _Asking(self, questions, newcomer, expected)
        step = f"{self.record.stage}/{what}"
        if asking.waiting:
            log.info("asked %s to %s, for at most %.0f s", who, what, self.left(step))
            with lines(f"waiting for {who} to {what}", log.info) as report:
                asking.run(step, report)
        return Answers(asking.given, asking.refused)


def named(sites: Collection[str]) -> str:
    """Hospitals for a line of the log, which many would make unreadable."""
    if len(sites) > MOST_NAMED:
        return f"{len(sites)} hospitals"
    return ", ".join(sorted(sites)) or "nobody"


@dataclass(frozen=True)
class _Sent:
    """A message on its way."""

    question: Question
    at: float


class _Asking:
    """One call of ``Exchange.ask``."""

    def __init__(
        self,
        exchange: Exchange,
        questions: Sequence[Question],
        newcomer: Callable[[int], Question] | None,
        expected: int,
    ) -> None:
        self.exchange, self.record, self.clock = exchange, exchange.record, exchange.clock
        self.newcomer, self.expected = newcomer, expected
        self.given: dict[str, Fields] = {}
        self.refused: dict[str, Reason] = {}
        self.pending: dict[str, Question] = {}
        self.flight: dict[str, _Sent] = {}
        self.not_before: dict[str, float] = {}
        self.losses: Counter[str] = Counter()
        self.progress: dict[str, tuple[int, float]] = {}
        self.suspects: set[int] = set()
        self.heard: dict[int, float] = {}
        self.one_by_one = False
        self.nodes: set[int] = set()
        for question in questions:
            self._add(question)

    @property
    def waiting(self) -> bool:
        """Whether anything is left to wait for."""
        few = self.newcomer is not None and len(self.given) + len(self.refused) < self.expected
        return bool(self.pending) or few

    def run(self, step: str, report: Report) -> None:
        """Ask until nothing is left to wait for, or the step's time is up."""
        began = written = self.clock.monotonic()
        end = began + self.exchange.left(step)
        while self.waiting and (now := self.clock.monotonic()) < end:
            if now - written >= WRITE_DOWN_S:
                self.exchange.set_left(step, end - now)
                written = now
            online = set(self.exchange.grid.get_node_ids())
            self._welcome(online)
            self._send(online, end - now)
            self._receive()
            self._ask_again()
            self._look_after(online, now)
            done = len(self.given) + len(self.refused)
            missing = {part.site or f"node {part.node}" for part in self.pending.values()}
            report(done, max(done + len(self.pending), self.expected), f"not yet {named(missing)}")
            if self.waiting:
                age = (now - began) / POLLS_AN_AGE
                self.clock.sleep(min(LONGEST_POLL_S, FIRST_POLL_S + age))
        self.exchange.set_left(step, end - self.clock.monotonic())

    def _add(self, question: Question) -> None:
        self.nodes.add(question.node)
        kept = self.record.answer(question.key)
        if kept is None:
            self.pending[question.key] = question
        else:
            self.given[question.key] = kept

    def _welcome(self, online: set[int]) -> None:
        """Take up nodes that have connected."""
        if self.newcomer is not None:
            for node in sorted(online - self.nodes):
                self._add(self.newcomer(node))

    def _send(self, online: set[int], left: float) -> None:
        """Ask every pending question that is not on its way."""
        flying = {sent.question.key for sent in self.flight.values()}
        for key, question in self.pending.items():
            if key in flying or self.clock.monotonic() < self.not_before.get(key, 0.0):
                continue
            if question.node not in online:
                self.record.note(question.node, "offline", question.site)
                continue
            fields = question.fields(self.record.known(question.node))
            ttl = min(self.exchange.timeout, left) + TIME_TO_LIVE_MARGIN
            number = self._push(question.node, question.kind, fields, ttl)
            if number is not None:
                self.flight[number] = _Sent(question, self.clock.monotonic())
                self.record.note(question.node, "asked", question.site)

    def _push(self, node: int, kind: str, fields: Mapping[str, Value], ttl: float) -> str | None:
        """Send a message; returns its id, None if the SuperLink did not take all of it."""
        content = RecordDict({REQUEST_RECORD: ConfigRecord(dict(fields))})
        message = Message(content, dst_node_id=node, message_type=kind, ttl=ttl)
        try:
            return next(iter(self.exchange.grid.push_messages([message])), None)
        except httpx.HTTPError:
            raise
        except Exception as error:  # restarted between a message and its objects
            log.warning("a question was not taken (%s: %s)", type(error).__name__, error)
            return None

    def _receive(self) -> None:
        """Keep what has arrived."""
        numbers = [*self.flight, *self.progress]
        for batch in [[number] for number in numbers] if self.one_by_one else [numbers]:
            for number, fields in self._pull(batch):
                if number in self.progress:
                    self._hear(number, fields)
                elif number in self.flight:
                    self._take(self.flight.pop(number).question, fields, number)
        asked = {sent.question.node for sent in self.flight.values()}
        self.progress = {n: v for n, v in self.progress.items() if v[0] in asked}

    def _pull(self, numbers: Sequence[str]) -> list[tuple[str, Fields | None]]:
        """The replies to messages, as far as they are there.

        Flower unpacks what strangers packed, and what it raises then takes all replies of a batch
        along. From then on each is pulled by itself, and one that cannot be unpacked is a fault.
        """
        if not numbers:
            return []
        try:
            replies = list(self.exchange.grid.pull_messages(numbers))
        except httpx.HTTPError:
            raise
        except Exception as error:
            log.warning("a reply could not be unpacked (%s: %s)", type(error).__name__, error)
            alone, self.one_by_one = self.one_by_one, True
            return [(numbers[0], refusal(Reason.FAULT))] if alone else []
        return [(reply.metadata.reply_to_message_id, _fields(reply)) for reply in replies]

    def _take(self, question: Question, fields: Fields | None, number: str) -> None:
        """Sort a reply: an answer, a refusal, or one that was lost, which is asked again."""
        if fields is None:
            log.debug("%s: the reply to %s was lost", question.label, number)
            self.losses[question.key] += 1
            pause = min(LONGEST_PAUSE_S, LONGEST_POLL_S * 2 ** self.losses[question.key])
            self.not_before[question.key] = self.clock.monotonic() + pause
            return
        reason = Reason.FAULT if _is_oversized(fields) else refusal_in(fields)
        if reason is None:
            self.record.keep(question.key, question.node, fields)
            self.record.set_known(question.node, question.shows)
            self.record.note(question.node, "answered", question.site)
            self.given[question.key] = fields
            del self.pending[question.key]
        elif reason in UNKNOWN and self.record.known(question.node):
            self.record.set_unknown(question.node)
        elif reason is Reason.BUSY:
            self.not_before[question.key] = self.clock.monotonic() + BUSY_S
        else:
            self.record.note(question.node, f"refused: {reason}", question.site)
            self.record.set_fact(f"{REFUSED}{question.key}", reason.value)
            self.refused[question.key] = reason
            del self.pending[question.key]

    def _ask_again(self) -> None:
        """Give up messages of nodes that said they have nothing to do, before this reading."""
        for number, sent in list(self.flight.items()):
            if sent.question.node in self.suspects:
                log.info("%s has lost its question and is asked again", sent.question.label)
                del self.flight[number]
        self.suspects.clear()

    def _look_after(self, online: set[int], now: float) -> None:
        """Ask nodes that take long what they are doing."""
        self.progress = {n: v for n, v in self.progress.items() if now - v[1] <= UNHEARD_S}
        asked = {node for node, _ in self.progress.values()}
        for node, at in {s.question.node: s.at for s in self.flight.values()}.items():
            last = max(at, self.heard.get(node, at))
            if node not in online or node in asked or now - last < PROGRESS_S:
                continue
            number = self._push(node, PROGRESS_KIND, {}, UNHEARD_S)
            if number is not None:
                self.progress[number] = (node, now)

    def _hear(self, number: str, fields: Fields | None) -> None:
        """Note what a node is doing, and whether it still has its questions."""
        node, asked_at = self.progress.pop(number)
        self.heard[node] = self.clock.monotonic()
        try:
            state = Progress.from_fields(fields or {})
        except RequestError:
            return
        mine = {n: s for n, s in self.flight.items() if s.question.node == node}
        if not mine:
            return
        site = next(iter(mine.values())).question.site
        if state.doing == "idle":
            if not state.waiting and all(sent.at < asked_at for sent in mine.values()):
                self.suspects.add(node)
            return
        self.record.note(node, state.doing, site, state.done, state.of)
        label = site or f"node {node}"
        if state.doing == "counting":
            log.info("%s: film %d of %s", label, state.done, state.of or "its films")
        else:
            log.info("%s: %s", label, state.doing)


def _fields(reply: Message) -> Fields | None:
    if reply.has_error():
        return None
    answer = reply.content.config_records.get(ANSWER_RECORD)
    return None if answer is None else dict(answer)


def _is_oversized(fields: Fields) -> bool:
    """Whether an answer has more than a bundle and all withdrawals can have."""
    size = sum(len(value) for value in fields.values() if isinstance(value, bytes | str | list))
    return size > MAX_ANSWER_BYTES or len(fields) > MAX_FIELDS
