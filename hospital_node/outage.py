"""Waiting for a SuperLink that is away: for how long, and what is said of it meanwhile.

The cause is said once, again when it is another, and every ten minutes; so is the end. Delays grow
to half a minute, and are drawn, so that a hundred nodes do not all come back in the same second.
"""

import logging
import random
import time
from collections.abc import Callable

from hospital_node.faults import DisconnectedError

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
REMIND_S = 600.0

log = logging.getLogger(__name__)


class Outage:
    """One outage after another, each from its first fault to ``over``."""

    def __init__(
        self,
        max_wait_s: float | None,
        draw: random.Random,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[..., object] = log.warning,
    ) -> None:
        """There is none yet.

        Args:
            max_wait_s: how long one may last; None: for ever.
            draw: spreads the delays.
            clock: seconds that only rise.
            say: takes a line and its arguments, as a logger does.
        """
        self._say_line = say
        self._max_wait, self._draw, self._clock = max_wait_s, draw, clock
        self._began: float | None = None
        self._said_at, self._cause = 0.0, ""
        self._tries = 0

    def delay_after(self, fault: DisconnectedError) -> float:
        """How many seconds to wait before the next try.

        Raises:
            DisconnectedError: ``fault``, if the outage has lasted as long as one may.
        """
        now = self._clock()
        if self._began is None:
            self._began, self._tries, self._cause = now, 0, ""
        longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._tries, 20))
        delay = longest * (1 + self._draw.random()) / 2
        self._tries += 1
        if self._max_wait is not None and now + delay > self._began + self._max_wait:
            raise fault
        self._say(fault, now)
        return delay

    def over(self) -> None:
        """The SuperLink has answered."""
        if self._began is not None:
            log.info("connected again after %.0f s", self._clock() - self._began)
            self._began = None

    def _say(self, fault: DisconnectedError, now: float) -> None:
        cause = type(fault).__name__
        if cause != self._cause:
            self._say_line("%s; trying again", fault)
        elif now - self._said_at >= REMIND_S:
            minutes = (now - (self._began or now)) / 60
            self._say_line("%s; for %.0f minutes now, still trying", fault, minutes)
        else:
            return
        self._said_at, self._cause = now, cause
