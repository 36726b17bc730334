"""Distillations at a time: what comes out, and how all of them end when one does."""

import time
from functools import partial
from threading import Event, get_ident

import pytest
import torch

from gdshare.audit.side_by_side import side_by_side


class StoppedError(Exception):
    """Raised by a step."""


def steps(number, step, count=20, seen=None):
    for done in range(count):
        if seen is not None:
            seen.append((number, done, torch.get_num_threads(), get_ident()))
        time.sleep(0.001)
        step()
    return number


@pytest.mark.parametrize("places", [1, 3])
def test_what_is_made_comes_in_order_and_every_step_counts(places):
    taken = []
    makes = [partial(steps, number) for number in range(7)]
    assert side_by_side(makes, places, lambda: taken.append(1)) == list(range(7))
    assert len(taken) == 7 * 20


def test_each_has_one_thread_and_the_caller_its_own_number_afterwards():
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        makes = [partial(steps, number, seen=seen) for number in range(4)]
        side_by_side(makes, 2, lambda: None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {threads for _, _, threads, _ in seen} == {1}
    assert len({own for *_, own in seen}) == 2


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
def test_a_step_that_raises_ends_all_and_its_error_is_the_callers(error):
    seen, counts = [], []

    def stop():
        counts.append(1)
        if len(counts) == 10:
            raise error

    makes = [partial(steps, number, count=10_000, seen=seen) for number in range(6)]
    with pytest.raises(error):
        side_by_side(makes, 2, stop)
    assert len(counts) <= 11  # the other may have been about to count
    assert {number for number, *_ in seen} == {0, 1}
    assert len(seen) <= 12  # each at most its present step


def test_one_that_fails_by_itself_ends_the_others():
    begun = Event()

    def failing(step):
        begun.wait(10)
        raise StoppedError

    def endless(step):
        begun.set()
        while True:
            time.sleep(0.001)
            step()

    with pytest.raises(StoppedError):
        side_by_side([endless, failing], 2, lambda: None)
