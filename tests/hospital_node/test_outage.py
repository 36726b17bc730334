"""How long a node waits for its SuperLink, and what it says meanwhile."""

import random

import pytest

from hospital_node.faults import ClockError, NotRegisteredError, TroubleError, UnreachableError
from hospital_node.outage import FIRST_DELAY_S, LONGEST_DELAY_S, REMIND_S, Outage


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def outage(clock: Clock, max_wait_s: float | None = None, seed: int = 0) -> Outage:
    return Outage(max_wait_s, random.Random(seed), clock)


def test_delays_grow_to_a_bound_and_never_end() -> None:
    clock = Clock()
    waiting = outage(clock)
    delays = []
    for _ in range(2000):
        delays.append(waiting.delay_after(UnreachableError("no SuperLink answers")))
        clock.now += delays[-1]
    assert FIRST_DELAY_S / 2 <= delays[0] <= FIRST_DELAY_S
    assert all(LONGEST_DELAY_S / 2 <= delay <= LONGEST_DELAY_S for delay in delays[10:])


def test_two_nodes_do_not_come_back_together() -> None:
    fault = UnreachableError("no SuperLink answers")
    delays = []
    for seed in (0, 1):
        waiting = outage(Clock(), seed=seed)
        delays.append([waiting.delay_after(fault) for _ in range(10)])
    assert not set(delays[0]) & set(delays[1])


def test_a_cause_is_said_once_and_again_every_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    waiting = outage(clock)
    while clock.now < 1000 + 3 * REMIND_S + 60:
        clock.now += waiting.delay_after(UnreachableError("no SuperLink answers"))
    assert caplog.messages[0] == "no SuperLink answers; trying again"
    assert [message.split("; ")[1] for message in caplog.messages[1:]] == [
        f"for {minutes} minutes now, still trying" for minutes in (10, 20, 30)
    ]


def test_each_change_of_cause_is_said_and_so_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    waiting = outage(clock)
    faults = [
        UnreachableError("no SuperLink answers"),
        UnreachableError("no SuperLink answers"),
        TroubleError("in trouble"),
        NotRegisteredError("not registered"),
        ClockError("6 s ahead"),
        ClockError("7 s ahead"),
    ]
    for fault in faults:
        waiting.delay_after(fault)
        clock.now += 10
    waiting.over()
    waiting.over()
    assert [message.split("; ")[0] for message in caplog.messages] == [
        "no SuperLink answers",
        "in trouble",
        "not registered",
        "6 s ahead",
        "connected again after 60 s",
    ]


def test_an_operator_may_bound_an_outage_but_not_several(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    waiting = outage(clock, max_wait_s=100)
    for _ in range(3):
        clock.now += 90
        waiting.delay_after(UnreachableError("no SuperLink answers"))
        waiting.over()
    waiting.delay_after(UnreachableError("no SuperLink answers"))
    clock.now += 101
    with pytest.raises(UnreachableError):
        waiting.delay_after(UnreachableError("no SuperLink answers"))
