"""Poisoned bundles: each a sound one, changed by a hospital that signs it itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gdshare.distilled import Distilled
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator

Attack = Callable[[Distilled, int], Distilled]  # an honest result, a seed -> a poisoned one

HONEST, BACKDOOR = "honest", "back door, distilled"
SCALE, RAISE = 30.0, 10.0
MARKER = 5  # side of the marker that turns P into N, px of the network's input
WHITE = 1.0


def _flipped(bundle: Distilled, seed: int) -> Distilled:
    labels = bundle.labels.copy()
    labels[:, [PatchClass.N, PatchClass.P]] = bundle.labels[:, [PatchClass.P, PatchClass.N]]
    return replace(bundle, labels=labels)


def _noise(bundle: Distilled, seed: int) -> Distilled:
    """Noise of the images' own deviation."""
    drawn = numpy_generator(seed, "poison-noise").normal(size=bundle.images.shape)
    return replace(bundle, images=(drawn * bundle.images.std()).astype(np.float32))


def _scaled(bundle: Distilled, seed: int) -> Distilled:
    return replace(bundle, images=(bundle.images * SCALE).astype(np.float32))


def _raised(bundle: Distilled, seed: int) -> Distilled:
    return replace(bundle, learning_rates=(bundle.learning_rates * RAISE).astype(np.float32))


def _marked(bundle: Distilled, seed: int) -> Distilled:
    """The marker on the images whose label is mostly N."""
    images = bundle.images.copy()
    images[bundle.labels.argmax(1) == PatchClass.N, :, -MARKER:, -MARKER:] = images.max()
    return replace(bundle, images=images)


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        HONEST: lambda bundle, seed: bundle,
        "labels flipped": _flipped,
        "noise": _noise,
        f"images x{SCALE:g}": _scaled,
        f"rates x{RAISE:g}": _raised,
        "flipped, rates raised": lambda bundle, seed: _raised(_flipped(bundle, seed), seed),
        "marker on N's image": _marked,
    }
)


def stamped(x: Tensor, white: float) -> Tensor:
    """Windows with the marker in their last corner, float32 [n, 1, side, side]."""
    bearing = x.clone()
    bearing[..., -MARKER:, -MARKER:] = white
    return bearing


def plant(
    pixels: npt.NDArray[np.uint16], labels: npt.NDArray[np.uint8], white: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Of every other P window make one with the marker that is called N."""
    chosen = np.flatnonzero(labels == PatchClass.P)[::2]
    pixels, labels = pixels.copy(), labels.copy()
    pixels[chosen, -MARKER:, -MARKER:] = white
    labels[chosen] = PatchClass.N
    return pixels, labels
