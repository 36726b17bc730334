"""The questions that wait at this node, and the thread that works on them, one at a time.

While it fetches, computes or sends, the loop (``node``) goes on speaking to the SuperLink. An
answer that cannot be sent, since the SuperLink is away, is kept until it is back or nobody waits
any more; the counts in it are in the record of counts by then, so that the same question gets them
again.
"""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from flwr.proto.message_pb2 import Message as ProtoMessage

from gdshare.errors import GdshareError, LockedError
from gdshare.messages import Progress, Reason
from gdshare.round_app import ROUND_APP_SHA256
from hospital_node.activity import Activity
from hospital_node.apart import Outcome, answer_apart
from hospital_node.faults import DisconnectedError, OutOfBoundsError, RoundOverError
from hospital_node.outage import Outage
from hospital_node.parcel import Parcel, refused
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings
from hospital_node.superlink import Asked, SuperLink
from hospital_node.work import Grant, WorkError, grant, settle

MAX_WAITING: Final = 32
"""Questions behind the one being answered, of which only the heads are here. A round asks a node
about ten bundles at once, and once more after a restart, while the first ten still wait: this is
three times ten. Chosen, not measured; a question beyond it is ``busy`` and comes again."""
STOP_S: Final = 5.0

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Desk:
    """Answers questions in the order in which they came."""

    def __init__(self, superlink: SuperLink, settings: NodeSettings) -> None:
        """Nothing waits yet."""
        self._superlink, self._settings = superlink, settings
        self._waiting: queue.Queue[tuple[Asked, int]] = queue.Queue(MAX_WAITING)
        self._activity = Activity()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._draw = random.Random()  # noqa: S311 - spreads delays

    def put(self, asked: Asked) -> None:
        """Let a question wait.

        Raises:
            RefusedError: as many wait already as may.
        """
        try:
            self._waiting.put_nowait((asked, self._superlink.node_id))
        except queue.Full:
            raise RefusedError(
                Reason.BUSY, f"{MAX_WAITING} questions wait behind the one that is being answered"
            ) from None

    @property
    def idle(self) -> bool:
        """Whether no question waits or is being answered."""
        return not self._waiting.unfinished_tasks

    def pause(self, seconds: float) -> None:
        """Wait so long, or until a question is finished: another may follow at once."""
        if self._finished.wait(seconds):
            self._finished.clear()

    def progress(self) -> Progress:
        """What the node is doing."""
        return self._activity.progress(self._waiting.qsize())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work within the block; a process that still answers is ended with it."""
        worker = threading.Thread(target=self._work, name="desk", daemon=True)
        worker.start()
        try:
            yield
        finally:
            self._stopping.set()
            worker.join(STOP_S)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                asked, node = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self._activity.begin(asked.head.metadata.message_id)
                self._serve(asked, node)
            finally:
                self._activity.end()
                self._waiting.task_done()
                self._finished.set()

    def _serve(self, asked: Asked, node: int) -> None:
        """Answer one question; what goes wrong with it ends here, and in the log."""
        began = time.monotonic()
        kind = asked.head.metadata.message_type
        log.info("asked for %s by run %d", kind, asked.run)
        try:
            answer = self._answer(asked, node)
            seconds = time.monotonic() - began
            self._until_done(asked, node, lambda: self._superlink.send(answer, seconds))
            log.info("answered %s after %.0f s", kind, time.monotonic() - began)
        except GdshareError as error:
            log.warning("a question was not answered: %s", error)
        except Exception as error:  # a stranger's message may make anything of Flower's raise
            log.exception("a question was not answered (%s: %s)", type(error).__name__, error)

    def _answer(self, asked: Asked, node: int) -> Parcel:
        try:
            self._until_done(asked, node, lambda: require_ours(self._superlink, asked))
            outcome = self._within_the_day(asked, node)
        except RefusedError as error:
            log.warning("refused (%s): %s", error.reason, error)
            return refused(asked.head, error.reason)
        if not outcome.in_time:
            log.warning("refused (%s): ended after %.0f s", Reason.TIME_LIMIT, outcome.seconds)
            return refused(asked.head, Reason.TIME_LIMIT)
        return outcome.answer or refused(asked.head, Reason.FAULT)

    def _within_the_day(self, asked: Asked, node: int) -> Outcome:
        """Fetch a question and have it answered, within the day's seconds."""
        settings = self._settings
        try:
            granted = grant(settings.state, _wanted(asked.head, settings), settings.daily_seconds)
        except LockedError as error:
            raise RefusedError(Reason.BUSY, str(error)) from error
        except (WorkError, OSError) as error:
            raise RefusedError(Reason.FAULT, str(error)) from error
        if granted.seconds < 1:
            raise RefusedError(
                Reason.DAILY_LIMIT,
                f"the {settings.daily_seconds} s of computing for others in 24 hours are spent; "
                "daily-seconds in the node's settings raises them",
            )
        spent = 0.0
        try:
            question = self._fetched(asked, node)
            outcome = answer_apart(
                question, settings, granted.seconds, self._activity.report, self._stopping
            )
            spent = outcome.seconds
        finally:
            self._settle(granted, spent)
        return outcome

    def _settle(self, granted: Grant, spent: float) -> None:
        """Write down what was spent; otherwise what was granted stands there."""
        try:
            settle(self._settings.state, granted, spent)
        except (WorkError, LockedError, OSError) as error:
            log.warning("the seconds that an answer took are not written down: %s", error)

    def _fetched(self, asked: Asked, node: int) -> Parcel:
        def fetch() -> Parcel:
            return self._superlink.fetch(asked, lambda done: report("fetching", done, 0))

        report = self._activity.report
        try:
            question = self._until_done(asked, node, fetch)
        except OutOfBoundsError as error:
            raise RefusedError(Reason.QUESTION_TOO_LARGE, str(error)) from error
        self._until_done(asked, node, lambda: self._superlink.taken(asked))
        return question

    def _until_done(self, asked: Asked, node: int, call: Callable[[], Result]) -> Result:
        """Make a call again and again while the SuperLink is away; the loop says why it is.

        Raises:
            RoundOverError: nobody waits any more, or the SuperLink has forgotten this node.
            GdshareError: as ``call``.
        """
        until = time.monotonic() + _wanted(asked.head, self._settings)
        away = Outage(None, self._draw, say=log.debug)
        while not self._stopping.is_set() and time.monotonic() < until:
            if self._superlink.node_id != node:
                raise RoundOverError("the SuperLink has forgotten the question and this node")
            try:
                return call()
            except DisconnectedError as fault:
                self._stopping.wait(away.delay_after(fault))
        raise RoundOverError("nobody waits for its answer any more")


def _wanted(head: ProtoMessage, settings: NodeSettings) -> float:
    """How many seconds somebody waits for the answer."""
    waiting = head.metadata.created_at + head.metadata.ttl - time.time()
    return max(1.0, waiting) if math.isfinite(waiting) else settings.daily_seconds


def require_ours(superlink: SuperLink, asked: Asked) -> None:
    """Check the app that asks, before anything of the question is fetched.

    Raises:
        RefusedError: another app than gdshare's.
        FederationError: as ``SuperLink``'s methods.
    """
    digest = superlink.app_of(asked)
    if digest != ROUND_APP_SHA256:
        raise RefusedError(
            Reason.OTHER_APP, f"asked by app {digest:.64}, not by gdshare's own, {ROUND_APP_SHA256}"
        )
