"""Whether a bundle pulls a network the way its peers do.

From one θ0 every bundle's images lead to a network of their own; its weights less θ0 are the
bundle's update. Three figures, means over a few θ0, say how it lies among the others:

``direction``
    cosine between its update and each peer's, the median over peers. Noise points anywhere.
``diagnosis``
    the same of one part of the update: the last layer's row for P less its row for N. Labels that
    were flipped leave the larger part, organ against surroundings, as it was, and turn this round.
``length``
    its update's norm, over the median norm of all. Raised learning rates outvote the others by it.

The worst bundle beyond a limit is set aside and the others are compared anew, so that it does not
speak against its peers. That takes three bundles, and fewer than half are ever set aside: whether
most hospitals lie, their bundles alone cannot tell.

Sources of the idea, for weights rather than images: Blanchard et al. 2017 (distance to the nearest
peers), Cao et al. 2021 (cosine against a trusted update), Sun et al. 2019 (bounded norms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdshare.networks import Parameters
from gdshare.pooling import Alone
from gdshare.protocol import PatchClass

LEAST_BUNDLES = 3
"""Of two that disagree nobody can say which is the odd one."""


@dataclass(frozen=True)
class Limits:
    """What an honest bundle keeps to.

    Attributes:
        direction: least cosine.
        diagnosis: least cosine.
        length: at most this many times the median, and at least its inverse.
    """

    direction: float
    diagnosis: float
    length: float


LIMITS: Mapping[str, Limits] = MappingProxyType({"convnet": Limits(0.2, -0.05, 3.0)})
"""By network, from real films (docs/adr/0020); without limits nothing is judged: how alike the
updates of honest hospitals are is a matter of the network and its θ0."""


@dataclass(frozen=True)
class Agreement:
    """How a bundle's update lies among its peers'.

    Attributes:
        direction: median cosine with the peers' updates, -1 to 1.
        diagnosis: the same of P's row of the last layer less N's.
        length: its norm over the median of all.
        peers: how many bundles it was compared with.
        faults: in words, the limits it breaks; none where nothing can be judged.
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


def compare(bundles: Sequence[Sequence[Alone]]) -> Compared:
    """Compare the updates of bundles that were trained alone from the same θ0.

    Args:
        bundles: of each, its networks, finite; all of them from the same starts.
    """
    at_each = []
    for networks in zip(*bundles, strict=True):
        updates = [_update(one) for one in networks]
        norms = np.array([float(whole.norm()) for whole, _ in updates])
        at_each.append(
            (
                _cosines([whole for whole, _ in updates]),
                _cosines([row for _, row in updates]),
                norms,
            )
        )
    direction, diagnosis, length = (
        np.mean(figure, axis=0) for figure in zip(*at_each, strict=True)
    )
    return Compared(direction, diagnosis, length)


def agreements(compared: Compared, limits: Limits | None) -> list[Agreement | None]:
    """Judge every bundle, the worst first.

    Args:
        compared: all of them.
        limits: of their network; None: figures only.

    Returns:
        of each bundle, in their order; None for a single one, which has no peers.
    """
    bundles = len(compared.length)
    left = list(range(bundles))
    found: dict[int, Agreement] = {}
    while limits and len(left) >= LEAST_BUNDLES and 2 * (len(found) + 1) < bundles:
        worst = max(left, key=lambda one: _excess(_among(compared, one, left), limits))
        figures = _among(compared, worst, left)
        if _excess(figures, limits) <= 0:
            break
        found[worst] = figures.broken(limits)
        left.remove(worst)
    for one in left:
        if len(left) > 1:
            found[one] = _among(compared, one, left).agreement()
    return [found.get(one) for one in range(bundles)]


@dataclass(frozen=True)
class _Figures:
    """``Agreement`` before it is judged."""

    direction: float
    diagnosis: float
    length: float
    peers: int

    def agreement(self, faults: tuple[str, ...] = ()) -> Agreement:
        return Agreement(self.direction, self.diagnosis, self.length, self.peers, faults)

    def broken(self, limits: Limits) -> Agreement:
        faults = []
        if self.direction < limits.direction:
            faults.append(
                f"its update points elsewhere than its peers' (cosine {self.direction:.2f}, at "
                f"least {limits.direction:.2f} is expected)"
            )
        if self.diagnosis < limits.diagnosis:
            faults.append(
                "it tells the diagnoses apart the other way round than its peers (cosine "
                f"{self.diagnosis:.2f}, at least {limits.diagnosis:.2f} is expected)"
            )
        if not 1 / limits.length <= self.length <= limits.length:
            faults.append(
                f"its update is {self.length:.2g} times as long as the median (1/{limits.length:g} "
                f"to {limits.length:g} is expected)"
            )
        return self.agreement(tuple(faults))


def _excess(figures: _Figures, limits: Limits) -> float:
    """How far beyond its limits a bundle lies; 0 or less within all of them."""
    return max(
        limits.direction - figures.direction,
        limits.diagnosis - figures.diagnosis,
        abs(log(max(figures.length, 1e-30))) - log(limits.length),
    )


def _among(compared: Compared, one: int, left: Sequence[int]) -> _Figures:
    peers = [other for other in left if other != one]
    return _Figures(
        float(np.median(compared.direction[one, peers])),
        float(np.median(compared.diagnosis[one, peers])),
        float(compared.length[one] / max(np.median(compared.length[left]), 1e-30)),
        len(peers),
    )


def _update(one: Alone) -> tuple[Tensor, Tensor]:
    """All of it in one vector, and the last layer's row for P less its row for N."""
    moved = {name: one.end[name] - start for name, start in one.start.items()}
    last = _last_layer(moved)
    return torch.cat([moved[name].flatten() for name in sorted(moved)]), (
        last[PatchClass.P] - last[PatchClass.N]
    )


def _last_layer(moved: Parameters) -> Tensor:
    """The one matrix among the weights, [classes, features]: all others are maps and vectors."""
    (last,) = (weight for weight in moved.values() if weight.ndim == 2)
    return last


def _cosines(vectors: Sequence[Tensor]) -> npt.NDArray[np.float64]:
    """Float64 [n, n]; 0 with a vector of length 0."""
    stacked = torch.stack(list(vectors)).double()
    units = stacked / stacked.norm(dim=1, keepdim=True).clamp_min(1e-30)
    cosines: npt.NDArray[np.float64] = (units @ units.T).numpy()
    return cosines
