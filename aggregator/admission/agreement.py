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
hospitals lie, their bundles alone cannot show it.

Sources of the idea, for weights rather than images: Blanchard et al. 2017 (distance to the nearest
peers), Cao et al. 2021 (cosine against a trusted update), Sun et al. 2019 (bounded norms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


def compare(bundles: Sequence[Sequence[Alone]]) -> Compared:
    """Compare the updates of bundles that were each trained alone from the same θ0.

    Args:
        bundles: for each bundle its networks, finite, in the order of the shared θ0.
    """
    figures = []
    for networks in zip(*bundles, strict=True):  # one θ0
        updates = [_update(network) for network in networks]
        whole, diagnosis = [list(vectors) for vectors in zip(*updates, strict=True)]
        norms = np.array([float(vector.norm()) for vector in whole])
        figures.append((_cosines(whole), _cosines(diagnosis), norms))
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
    left = list(range(bundles))
    results: dict[int, Agreement] = {}
    while limits and len(left) >= LEAST_BUNDLES and 2 * (len(results) + 1) < bundles:
        figures = {bundle: _among(compared, bundle, left) for bundle in left}
        worst = max(left, key=lambda bundle: _excess(figures[bundle], limits))
        if _excess(figures[worst], limits) <= 0:
            break
        results[worst] = replace(figures[worst], faults=_faults(figures[worst], limits))
        left.remove(worst)
    if len(left) > 1:
        results |= {bundle: _among(compared, bundle, left) for bundle in left}
    return [results.get(bundle) for bundle in range(bundles)]


def _among(compared: Compared, bundle: int, left: Sequence[int]) -> Agreement:
    """The figures of a bundle among those left, without faults."""
    peers = [other for other in left if other != bundle]
    return Agreement(
        float(np.median(compared.direction[bundle, peers])),
        float(np.median(compared.diagnosis[bundle, peers])),
        float(compared.length[bundle] / max(np.median(compared.length[left]), 1e-30)),
        len(peers),
    )


def _excess(figures: Agreement, limits: Limits) -> float:
    """How far a bundle is beyond its limits; 0 or less within all of them."""
    return max(
        limits.direction - figures.direction,
        limits.diagnosis - figures.diagnosis,
        abs(log(max(figures.length, 1e-30))) - log(limits.length),
    )


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


def _update(network: Alone) -> tuple[Tensor, Tensor]:
    """The update as one vector, and the last layer's row for P minus its row for N, [features]."""
    change = {name: network.end[name] - start for name, start in network.start.items()}
    last = _last_layer(change)
    whole = torch.cat([change[name].flatten() for name in sorted(change)])
    return whole, last[PatchClass.P] - last[PatchClass.N]


def _last_layer(change: Parameters) -> Tensor:
    """The only matrix among the weights, [classes, features]; all others are maps and vectors."""
    (last,) = (weight for weight in change.values() if weight.ndim == 2)
    return last


def _cosines(vectors: Sequence[Tensor]) -> npt.NDArray[np.float64]:
    """Cosines of all pairs, float64 [n, n]; 0 with a vector of length 0."""
    stacked = torch.stack(list(vectors)).double()
    units = stacked / stacked.norm(dim=1, keepdim=True).clamp_min(1e-30)
    cosines: npt.NDArray[np.float64] = (units @ units.T).numpy()
    return cosines
