"""A run without a folder: no checkpoints and no journal, for data that fits in memory.

Its training steps, scores and result are those of ``loop.distill``, bit for bit.
"""

from collections.abc import Callable

from gdshare.distill.journal import Journal
from gdshare.distill.loop import Outcome, Tick, conclude, train_step
from gdshare.distill.problem import Problem
from gdshare.distill.state import initial_state
from gdshare.distill.workers import ALONE


def distil_in_memory(
    problem: Problem, progress: Callable[[Tick], None] = lambda tick: None
) -> Outcome:
    """Take all training steps of a run, and score its result.

    Args:
        problem: as ``prepare_patches`` made it.
        progress: called after each training step.

    Raises:
        LostError: too many useless gradients in a row.
    """
    settings, journal = problem.settings, Journal(None, None)
    state = initial_state(settings, problem.protocol.side, len(problem.train.classes))
    while state.progress.step < settings.outer_steps:
        state, tick = train_step(state, problem, journal, ALONE)
        progress(tick)
    return conclude(state, problem, journal, ALONE, "the distilled images")
