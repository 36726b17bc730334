"""The updates of many bundles from one θ0, compared without keeping their networks.

An update is a network's weights at the end minus θ0. Up to ``EXACT_BYTES`` of them, they are kept
whole and compared exactly. Beyond that each is kept as a **sketch**: every weight is added, with a
random sign, to one of ``WIDTH`` sums (Charikar, Chen and Farach-Colton 2002). The cosine of two
sketches is on average that of the updates, and its variance is at most (1 + cosine²) / WIDTH,
whatever the updates: a deviation of 0.0078 at most for one θ0, of 0.0045 for the mean of three. The
bound holds since nobody who makes a bundle knows signs and sums: they are drawn from the round's
seed and the digests of all its bundles. Norms, and the last layer's rows for P and N, which tell
flipped labels, are kept exactly in either case.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdshare.pooling import Alone
from gdshare.protocol import PatchClass

WIDTH = 2**15
"""Sums in a sketch: 128 KiB, whatever the network."""
EXACT_BYTES = 256 * 2**20
"""Of whole updates from one θ0: of six ResNet18, 221 ConvNets, thousands of last layers."""
BLOCK = 2**15
"""Weights that are multiplied in double precision at a time."""

Floats = npt.NDArray[np.float64]
Figures = tuple[Floats, Floats, Floats]
"""``direction`` and ``diagnosis``, [bundles, bundles], and ``length``, [bundles]."""


@dataclass(frozen=True)
class Sketch:
    """Where each weight goes.

    Attributes:
        sums: int64 [weights], 0 to ``WIDTH`` - 1.
        signs: float32 [weights], -1 or 1.
    """

    sums: npt.NDArray[np.int64]
    signs: npt.NDArray[np.float32]

    @classmethod
    def drawn(cls, weights: int, generator: np.random.Generator) -> "Sketch":
        """Draw signs and sums, all independent of one another."""
        signs = generator.integers(0, 2, weights, np.int8) * np.float32(2) - np.float32(1)
        return cls(generator.integers(0, WIDTH, weights), signs)

    def of(self, update: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Float32 [weights] -> float32 [WIDTH]."""
        sums = np.bincount(self.sums, weights=update * self.signs, minlength=WIDTH)
        return sums.astype(np.float32)


class Updates:
    """The updates of a round's bundles from one θ0."""

    def __init__(self, bundles: int, generator: np.random.Generator) -> None:
        """Nothing is drawn or kept yet.

        Args:
            bundles: how many there will be at most.
            generator: draws the sketch, if one is needed.
        """
        self._bundles, self._generator = bundles, generator
        self._length = np.zeros(bundles)
        self._sketch: Sketch | None = None
        self._whole = self._diagnosis = torch.empty(0)

    def put(self, place: int, network: Alone) -> None:
        """Add a bundle's network, finite, and forget it; a place left out has length 0."""
        update, diagnosis = update_of(network)
        if not len(self._whole):
            self._make_room(len(update), len(diagnosis))
        self._length[place] = float(update.norm())
        self._diagnosis[place] = diagnosis
        if self._sketch is None:
            self._whole[place] = update
        else:
            self._whole[place] = torch.from_numpy(self._sketch.of(update.numpy()))

    def compared(self) -> Figures:
        """Every bundle against every other."""
        norms = None if self._sketch is None else torch.from_numpy(self._length)
        return _cosines(self._whole, norms), _cosines(self._diagnosis), self._length

    @property
    def sketched(self) -> bool:
        """Whether the updates are kept as sketches."""
        return self._sketch is not None

    def _make_room(self, weights: int, features: int) -> None:
        if 4 * weights * self._bundles > EXACT_BYTES and weights > WIDTH:
            self._sketch = Sketch.drawn(weights, self._generator)
            weights = WIDTH
        self._whole = torch.zeros(self._bundles, weights)
        self._diagnosis = torch.zeros(self._bundles, features)


def update_of(network: Alone) -> tuple[Tensor, Tensor]:
    """The update as one vector, and the last layer's row for P minus its row for N, [features].

    A weight that is not trained is the very tensor of the start, and is left out.
    """
    change = {
        name: network.end[name] - start
        for name, start in network.start.items()
        if network.end[name] is not start
    } or {name: torch.zeros_like(start) for name, start in network.start.items()}
    last = _last_layer(change)
    whole = torch.cat([change[name].flatten() for name in sorted(change)])
    return whole, last[PatchClass.P] - last[PatchClass.N]


def _last_layer(change: Mapping[str, Tensor]) -> Tensor:
    """The only matrix among the weights, [classes, features]; all others are maps and vectors."""
    (last,) = (weight for weight in change.values() if weight.ndim == 2)
    return last


def _cosines(vectors: Tensor, norms: Tensor | None = None) -> Floats:
    """Cosines of all pairs of rows, float64 [n, n]; 0 with a row of length 0.

    Args:
        vectors: float32 [n, weights].
        norms: float64 [n], of what the rows stand for; None: of the rows themselves.
    """
    products = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for part in torch.split(vectors, BLOCK, dim=1):
        block = part.double()
        products += block @ block.T
    lengths = products.diagonal().sqrt() if norms is None else norms
    lengths = lengths.clamp_min(1e-30)
    cosines: Floats = (products / lengths[:, None] / lengths[None, :]).clamp(-1, 1).numpy()
    return cosines
