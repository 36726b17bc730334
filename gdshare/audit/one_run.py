"""A lower bound on ε from guesses about patients who were included by the toss of a coin.

Source: Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023. If a
mechanism is ε-differentially private for a patient, and each patient is in by an independent fair
coin, then of r guesses, whichever the guesser makes and however, the number of right ones is at
most that of r tosses of a coin that falls right with probability e^ε / (1 + e^ε). So many right
guesses make a small ε implausible.

Each shadow is such a run. A guess about a shadow may use the coins of others, whose tosses are
independent of its own. So guesses about several shadows add up, if those they were calibrated with
are not among them.
"""

from math import exp

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import binom

CONFIDENCE = 0.95
MOST = 20.0
"""The largest ε that is looked at."""


def guess(scores: npt.NDArray[np.float64], included: npt.NDArray[np.bool_], each_side: int) -> int:
    """Right guesses: the highest scores in, the lowest out.

    Args:
        scores: float64 [n] of a run.
        included: bool [n], the coins.
        each_side: guesses of either kind, fixed beforehand.
    """
    order = np.argsort(scores, kind="stable")
    return int(included[order[-each_side:]].sum() + (~included[order[:each_side]]).sum())


def epsilon_bound(guesses: int, right: int, confidence: float = CONFIDENCE) -> float:
    """The smallest ε, with δ = 0, under which so many right guesses are not implausible.

    Args:
        guesses: r.
        right: of them.
        confidence: of the bound.

    Returns:
        0 to ``MOST``.
    """

    def excess(epsilon: float) -> float:
        chance = 1.0 / (1.0 + exp(-epsilon))
        return float(binom.sf(right - 1, guesses, chance)) - (1.0 - confidence)

    if excess(0.0) >= 0.0:
        return 0.0
    return MOST if excess(MOST) < 0.0 else float(brentq(excess, 0.0, MOST))
