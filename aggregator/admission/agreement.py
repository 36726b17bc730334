"""Whether a bundle pulls a network in the same direction as its peers.

From a shared θ0, each bundle's images lead to a network of their own; its weights minus θ0 are the
bundle's update. Three figures, means over a few θ0, compare it with the others:

``direction``
    cosine between its update and each peer's, the median over peers. Noise points anywhere.
``diagnosis``
    the same for one part of the update: the last layer's row for P minus its row for N. Flipped
    labels leave the larger part, organ against surroundings, as it was and reverse this one.
``length``
    norm of its update over the median norm. Raised learning rates outvote the others by it.

The worst bundle beyond a limit is set aside and the others are compared again, so that it does not
count against its peers. This takes three bundles, and fewer than half are ever set aside: if most
hospitals lie, their bundles alone cannot show it. N bundles take N² cosines, and setting one aside
takes N steps, since each median moves by at most one place (``medians``).

Sources of the idea, for weights rather than images: Blanchard et al. 2017 (distance to the nearest
peers), Cao et al. 2021 (cosine against a trusted update), Sun et al. 2019 (bounded norms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aggregator.admission.medians import PeerMedians
from aggregator.admission.updates import Figures, Updates
from gdshare.pooling import Alone

LEAST_BUNDLES = 3
"""Of two that disagree, nothing shows which is the outlier."""


@dataclass(frozen=True)
class Limits:
    """Bounds that honest bundles keep.

    Attributes:
        direction: least cosine; -1 is none.
        diagnosis: least cosine.
        length: at most this many times the median, and at least its inverse.
    """

    direction: float
    diagnosis: float
    length: float


LIMITS: Mapping[tuple[str, str], Limits] = MappingProxyType(
    {
        ("convnet", "all"): Limits(0.2, -0.05, 3.0),
        ("scattering", "head"): Limits(-1.0, 0.0, 10.0),
    }
)
"""By network and trained part, from real films (docs/adr/0020). Without limits there are figures
and no faults: how similar honest updates are depends on the network, its θ0 and what is trained."""


@dataclass(frozen=True)
class Agreement:
    """How a bundle's update compares with its peers'.

    Attributes:
        direction: median cosine with the peers' updates, -1 to 1.
        diagnosis: the same for the last layer's row for P minus its row for N.
        length: its norm over the median of all.
        peers: how many bundles it was compared with.
        faults: the limits it breaks, in words; empty without limits.
    """

    direction: float
    diagnosis: float
    length: float
    peers: int
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Every bundle against every other, means over θ0.

    Attributes:
        direction, diagnosis: cosines, float64 [bundles, bundles].
        length: norms, float64 [bundles].
    """

    direction: npt.NDArray[np.float64]
    diagnosis: npt.NDArray[np.float64]
    length: npt.NDArray[np.float64]

    def among(self, rows: npt.NDArray[np.intp]) -> "Compared":
        """Some of the bundles, by number."""
        both = np.ix_(rows, rows)
        return Compared(self.direction[both], self.diagnosis[both], self.length[rows])


def compare(bundles: Sequence[Sequence[Alone]]) -> Compared:
    """Compare the updates of bundles that were each trained alone from the same θ0.

    Args:
        bundles: for each bundle its networks, finite, in the order of the shared θ0.
    """
    figures = []
    for networks in zip(*bundles, strict=True):  # one θ0
        updates = Updates(len(networks), np.random.default_rng(0))
        for place, network in enumerate(networks):
            updates.put(place, network)
        figures.append(updates.compared())
    return mean_compared(figures)


def mean_compared(figures: Sequence[Figures]) -> Compared:
    """The mean over θ0 of their figures, at least one."""
    return Compared(*(np.mean(figure, axis=0) for figure in zip(*figures, strict=True)))


def agreements(compared: Compared, limits: Limits | None) -> list[Agreement | None]:
    """Compare each bundle with its peers and name its faults, the worst bundle first.

    Args:
        compared: all bundles.
        limits: of their network and trained part; None: figures only.

    Returns:
        one value per bundle, in their order; None for a single bundle, which has no peers.
    """
    bundles = len(compared.length)
    if bundles < 2:
        return [None] * bundles
    left = _Left(compared)
    results: dict[int, Agreement] = {}
    while limits and len(left.rows) >= LEAST_BUNDLES and 2 * (len(results) + 1) < bundles:
        worst = left.worst(limits)
        if worst is None:
            break
        figures = left.figures([worst])[worst]
        results[worst] = replace(figures, faults=_faults(figures, limits))
        left.set_aside(worst)
    results |= left.figures(left.rows)
    return [results[bundle] for bundle in range(bundles)]


class _Left:
    """The bundles that are not set aside.

    Attributes:
        rows: their numbers, in order.
    """

    def __init__(self, compared: Compared) -> None:
        """All of them, at least two."""
        self.rows = np.arange(len(compared.length))
        self._length = compared.length
        self._direction = PeerMedians(compared.direction)
        self._diagnosis = PeerMedians(compared.diagnosis)

    def worst(self, limits: Limits) -> int | None:
        """The first of those furthest beyond the limits; None if all are within."""
        relative = self._length[self.rows] / self._median_length()
        lengths = np.log(np.maximum(relative, 1e-30))
        excess = np.maximum.reduce(
            [
                limits.direction - self._direction.medians(self.rows),
                limits.diagnosis - self._diagnosis.medians(self.rows),
                np.abs(lengths) - log(limits.length),
            ]
        )
        worst = int(np.argmax(excess))
        return int(self.rows[worst]) if excess[worst] > 0 else None

    def set_aside(self, bundle: int) -> None:
        """Compare with this one no more."""
        self.rows = self.rows[self.rows != bundle]
        self._direction.set_aside(bundle, self.rows)
        self._diagnosis.set_aside(bundle, self.rows)

    def figures(self, bundles: npt.ArrayLike) -> dict[int, Agreement]:
        """Of bundles among those that are left, without faults."""
        rows = np.asarray(bundles, np.intp)
        direction, diagnosis = (
            medians.medians(rows).tolist() for medians in (self._direction, self._diagnosis)
        )
        length = (self._length[rows] / self._median_length()).tolist()
        peers = len(self.rows) - 1
        lines = zip(rows.tolist(), direction, diagnosis, length, strict=True)
        return {bundle: Agreement(d, g, n, peers) for bundle, d, g, n in lines}

    def _median_length(self) -> float:
        return max(float(np.median(self._length[self.rows])), 1e-30)


def _faults(figures: Agreement, limits: Limits) -> tuple[str, ...]:
    faults = []
    if figures.direction < limits.direction:
        faults.append(
            f"its update points away from its peers' (cosine {figures.direction:.2f}, at "
            f"least {limits.direction:.2f} is expected)"
        )
    if figures.diagnosis < limits.diagnosis:
        faults.append(
            "it separates the diagnoses in the opposite direction to its peers (cosine "
            f"{figures.diagnosis:.2f}, at least {limits.diagnosis:.2f} is expected)"
        )
    if not 1 / limits.length <= figures.length <= limits.length:
        faults.append(
            f"its update is {figures.length:.2g} times as long as the median "
            f"(1/{limits.length:g} to {limits.length:g} is expected)"
        )
    return tuple(faults)
