"""Named random streams, and smooth random fields that do not depend on the film's size.

A field is a small lattice of values, interpolated over the unit square by a uniform cubic B-spline:
the same lattice gives the same pattern at 256 px and at 2048 px. Sampling is element-wise numpy
without matrix products, so the result does not depend on the number of threads.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

_FAMILY = 0x67645048  # separates these streams from other uses of the same small seeds


class Stream(IntEnum):
    """The purpose of a random stream. Only MUCOSA is ever combined with the diagnosis."""

    PATIENT = 0
    STOMACH = 1
    TISSUE = 2
    BONES = 3
    BOWEL = 4
    CONTRAST = 5
    MUCOSA = 6
    TEXTURE = 7
    POSITION = 8
    EXPOSURE = 9
    NOISE = 10
    SITE = 11


def stream(purpose: Stream, *keys: int) -> np.random.Generator:
    """The random stream for a purpose and for these integers, each at least 0."""
    return np.random.default_rng(np.random.SeedSequence([_FAMILY, int(purpose), *keys]))


def pixel_centres(size: int) -> Field:
    """The coordinates of the pixel centres along a side: float32 [size], in (0, 1)."""
    return ((np.arange(size, dtype=np.float32) + 0.5) / size).astype(np.float32)


def lattice_nodes(cells: int) -> Field:
    """The coordinates of a lattice's nodes along a side, for ``sample``: float32 [cells + 3]."""
    return ((np.arange(cells + 3, dtype=np.float32) - 1) / cells).astype(np.float32)


def _spline(coordinates: Field, cells: int) -> tuple[npt.NDArray[np.intp], Field]:
    """Each coordinate's first lattice index, intp [n], and B-spline weights, float32 [4, n]."""
    position = np.clip(coordinates, 0.0, 1.0) * cells
    first = np.minimum(position.astype(np.intp), cells - 1)
    t = (position - first).astype(np.float32)
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    return first, (weights / 6).astype(np.float32)


def sample(lattice: Field, rows: Field, columns: Field) -> Field:
    """Interpolate a lattice over the unit square at a grid of points.

    Args:
        lattice: float32 [n + 3, n + 3]; its n x n cells tile the unit square.
        rows: float32 [H], vertical coordinates; beyond [0, 1] the edge is repeated.
        columns: float32 [W], horizontal coordinates; beyond [0, 1] the edge is repeated.

    Returns:
        float32 [H, W].
    """
    cells = lattice.shape[0] - 3
    first, weights = _spline(columns, cells)
    across = np.zeros((lattice.shape[0], len(columns)), np.float32)
    for k in range(4):
        across += lattice[:, first + k] * weights[k]
    first, weights = _spline(rows, cells)
    down = np.zeros((len(rows), len(columns)), np.float32)
    for k in range(4):
        down += across[first + k] * weights[k][:, None]
    return down


# A cubic B-spline averages its lattice; this restores a deviation of about 1.
_GAIN = np.float32(2.1)


def noise(rng: np.random.Generator, cells: int, rows: Field, columns: Field) -> Field:
    """Draw a smooth random field of mean 0 and deviation about 1: float32 [H, W].

    Args:
        rng: the random stream.
        cells: lattice cells per side; features have about the size of a cell.
        rows: float32 [H], see ``sample``.
        columns: float32 [W].
    """
    lattice = rng.standard_normal((cells + 3, cells + 3), np.float32)
    return sample(lattice * _GAIN, rows, columns)


def ramp(values: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``; exactly 0 and 1 beyond: float32."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def bump(values: Field, width: float) -> Field:
    """A bell curve around 0: exp(-(values / width)²), float32."""
    return np.asarray(np.exp(-np.square(values / np.float32(width))), np.float32)
