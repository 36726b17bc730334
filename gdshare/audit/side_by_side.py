"""Distillations side by side, each with a core of its own.

A second core makes one distillation of a head hardly faster; two of them, each on one core, take
half as long on two. Each computes with one thread then, so that the number of cores does not decide
what comes out.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import TypeVar

import torch

from gdshare.distill.problem import Problem

MOST = 4
"""At a time: each has copies of its windows' features, 200 to 500 MB by default."""

Made = TypeVar("Made")
Step = Callable[[], None]


def places_for(problem: Problem) -> int:
    """How many distillations like this one are worth making at a time.

    Networks that are trained whole, and graphics cards, are busy with one.
    """
    if problem.features is None or problem.device.type != "cpu":
        return 1
    return min(torch.get_num_threads(), MOST)


def side_by_side(makes: Sequence[Callable[[Step], Made]], places: int, step: Step) -> list[Made]:
    """Make everything, up to ``places`` at a time.

    Args:
        makes: each is called with what it calls after each of its training steps.
        places: at a time; with one, all is made in turn, by this thread.
        step: called after each training step of any, by one thread at a time. What it raises ends
            all, each after its present step.

    Returns:
        what was made, in the order of ``makes``.
    """
    if places == 1:
        return [make(step) for make in makes]
    threads, over, turn = torch.get_num_threads(), Event(), Lock()

    def counted() -> None:
        with turn:
            if over.is_set():
                raise _OverError
            step()

    def whole(make: Callable[[Step], Made]) -> Made:
        if over.is_set():
            raise _OverError
        try:
            return make(counted)
        except BaseException:
            over.set()
            raise

    pool = ThreadPoolExecutor(places, "distil", lambda: torch.set_num_threads(1))
    futures = [pool.submit(whole, make) for make in makes]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # of later threads too: torch keeps the last number set
    ended = [future.exception() for future in futures if not future.cancelled()]
    for error in ended:
        if error is not None and not isinstance(error, _OverError):
            raise error
    return [future.result() for future in futures]


class _OverError(Exception):
    """Another distillation was stopped."""
