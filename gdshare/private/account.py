"""What a run may spend, and the noise that this takes: by Google's dp-accounting.

The unit is a patient: two cohorts are neighbours if one has a training patient more, with all
films, and is else the same. Queries are composed by their privacy loss distributions (PLD), which
holds for a query that is chosen by an earlier one's answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite, sqrt

from gdshare.errors import UsageError
from gdshare.extras import require_extra

LARGEST_EPSILON = 32.0
"""Beyond it, a guarantee says nothing that anybody could use."""
DEFAULT_DELTA = 1e-5
_CLOSE = 1e-9
"""Relative: the multiplier is raised by this, so that it spends no more than was asked for."""


@dataclass(frozen=True)
class Budget:
    """The guarantee that was asked for.

    Attributes:
        epsilon: above 0, to ``LARGEST_EPSILON``.
        delta: above 0, below 1; and below 1 / patients, see ``require_small``.

    Raises:
        UsageError: out of these ranges.
    """

    epsilon: float
    delta: float = DEFAULT_DELTA

    def __post_init__(self) -> None:  # noqa: D105 - the class says it
        if not (isfinite(self.epsilon) and 0.0 < self.epsilon <= LARGEST_EPSILON):
            raise UsageError(
                f"ε must be above 0, and at most {LARGEST_EPSILON:g}",
                f"--epsilon {self.epsilon}",
                "take 1 to 8",
            )
        if not (isfinite(self.delta) and 0.0 < self.delta < 1.0):
            raise UsageError(
                "δ must be between 0 and 1", f"--delta {self.delta}", f"take {DEFAULT_DELTA}"
            )

    def require_small(self, patients: int) -> None:
        """Refuse a δ under which a patient's data could be given away whole.

        Raises:
            UsageError: δ is not below 1 / patients.
        """
        if self.delta * max(1, patients) >= 1.0:
            raise UsageError(
                "δ must be below 1 / training patients: otherwise giving one of them away would "
                "be within the guarantee",
                f"--delta {self.delta}",
                "take a smaller one",
            )


@dataclass(frozen=True)
class Spending:
    """How a budget becomes noise.

    Attributes:
        multipliers: of the queries, in their order.
        epsilon: that they spend together, at the budget's δ; at most the budget's.
        accountant: its name and version.
    """

    multipliers: tuple[float, ...]
    epsilon: float
    accountant: str


def spend(budget: Budget, shares: Sequence[float]) -> Spending:
    """Divide a budget among Gaussian queries.

    Args:
        budget: to be kept.
        shares: of each query, above 0; they sum to 1. Of the inverse squared multiplier: queries
            with these shares spend together what one query does.

    Raises:
        UsageError: dp-accounting is not installed.
    """
    require_extra("privacy")
    from dp_accounting import GaussianDpEvent, calibrate_dp_mechanism, pld

    together = calibrate_dp_mechanism(
        pld.PLDAccountant, GaussianDpEvent, budget.epsilon, budget.delta
    )
    multipliers = tuple(float(together) * (1 + _CLOSE) / sqrt(share) for share in shares)
    return Spending(multipliers, epsilon_of(multipliers, budget.delta), accountant())


def epsilon_of(multipliers: Sequence[float], delta: float) -> float:
    """The ε, at δ, that Gaussian queries of these multipliers spend together.

    Raises:
        UsageError: dp-accounting is not installed.
    """
    require_extra("privacy")
    from dp_accounting import ComposedDpEvent, GaussianDpEvent, pld

    queries = ComposedDpEvent([GaussianDpEvent(multiplier) for multiplier in multipliers])
    return float(pld.PLDAccountant().compose(queries).get_epsilon(delta))


def accountant() -> str:
    """Name and version of what computes."""
    return f"dp-accounting {version('dp-accounting')}, PLD"
