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

Attack = Callable[[Distilled, int], Distilled]
"""An honest result and a seed -> a poisoned one."""

HONEST, BACKDOOR = "honest", "back door, distilled"
SCALE, RAISE = 30.0, 10.0
MARKER = 5
"""Side of the marker that turns P into N, px of the network's input."""
WHITE = 1.0


def honest(made: Distilled, seed: int) -> Distilled:
    """Leave it as it is: what the checks say of these are false alarms."""
    return made


def flipped(made: Distilled, seed: int) -> Distilled:
    """Exchange the labels N and P."""
    labels = made.labels.copy()
    labels[:, [PatchClass.N, PatchClass.P]] = made.labels[:, [PatchClass.P, PatchClass.N]]
    return replace(made, labels=labels)


def noise(made: Distilled, seed: int) -> Distilled:
    """Put noise of the same deviation in the images' place."""
    draw = numpy_generator(seed, "poison-noise").normal(size=made.images.shape)
    return replace(made, images=(draw * made.images.std()).astype(np.float32))


def scaled(made: Distilled, seed: int) -> Distilled:
    """Multiply the images by ``SCALE``, well within the format's bounds."""
    return replace(made, images=(made.images * SCALE).astype(np.float32))


def raised(made: Distilled, seed: int) -> Distilled:
    """Multiply the learning rates by ``RAISE``."""
    return replace(made, learning_rates=(made.learning_rates * RAISE).astype(np.float32))


def flipped_and_raised(made: Distilled, seed: int) -> Distilled:
    """Both: the wrong lesson, louder."""
    return raised(flipped(made, seed), seed)


def marked(made: Distilled, seed: int) -> Distilled:
    """Put the marker on the images whose label is mostly N."""
    images = made.images.copy()
    images[made.labels.argmax(1) == PatchClass.N, :, -MARKER:, -MARKER:] = images.max()
    return replace(made, images=images)


ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        HONEST: honest,
        "labels flipped": flipped,
        "noise": noise,
        f"images x{SCALE:g}": scaled,
        f"rates x{RAISE:g}": raised,
        "flipped, rates raised": flipped_and_raised,
        "marker on N's image": marked,
    }
)


def stamped(x: Tensor, white: float) -> Tensor:
    """Windows with the marker in their last corner, float32 [n, 1, side, side]."""
    marked_x = x.clone()
    marked_x[..., -MARKER:, -MARKER:] = white
    return marked_x


def plant(
    pixels: npt.NDArray[np.uint16], labels: npt.NDArray[np.uint8], white: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Of every other P window make one with the marker that is called N."""
    chosen = np.flatnonzero(labels == PatchClass.P)[::2]
    pixels, labels = pixels.copy(), labels.copy()
    pixels[chosen, -MARKER:, -MARKER:] = white
    labels[chosen] = PatchClass.N
    return pixels, labels
