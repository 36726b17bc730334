"""Cutting a film into a grid of square windows, each resized to the network's input.

Source: Li et al. 2020, sections 2.1 and 3.1; method.md section 1. A film of 2048 px with windows of
299 px and a stride of 50 px gives 35 x 35 = 1225 windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from statistics import median_low
from typing import Self

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films import Film
from gdshare.films.bounds import is_square
from gdshare.protocol import Protocol
from gdshare.tone import harmonise

Float = npt.NDArray[np.float32]

SOURCE_FILM, SOURCE_PATCH, SOURCE_STRIDE = 2048, 299, 50
"""The source's films, windows and step between windows, px."""
MIN_PATCH, MAX_PATCH = 8, 4096
"""What a protocol allows, px."""


@dataclass(frozen=True)
class Geometry:
    """Side of a window and step between windows, px."""

    patch: int
    stride: int

    @classmethod
    def for_sides(cls, sides: Sequence[float]) -> Self:
        """The source's proportions on films of these sides; their lower median counts.

        Args:
            sides: at least one, px, see ``film_side``.
        """
        share = median_low(sides) / SOURCE_FILM
        patch = min(max(round(SOURCE_PATCH * share), MIN_PATCH), MAX_PATCH)
        return cls(patch, min(ceil(SOURCE_STRIDE * share), MAX_PATCH))

    def __str__(self) -> str:
        """As options of the command line."""
        return f"--patch {self.patch} --stride {self.stride}"


@dataclass(frozen=True)
class Grid:
    """The windows of one film. There is no padding: windows that do not fit are dropped.

    Attributes:
        rows, columns: number of windows down and across; either may be 0 on a small film.
        patch, stride: side of a window and step between windows, px of the film.
    """

    rows: int
    columns: int
    patch: int
    stride: int

    @classmethod
    def over(cls, shape: tuple[int, int], protocol: Protocol, scale: float = 1.0) -> "Grid":
        """The grid on a film of this shape; it may be empty.

        Args:
            shape: (height, width), px.
            protocol: patch and stride, in pixels of the protocol's size.
            scale: film pixels per protocol pixel, see ``pixel_scale``.
        """
        patch, stride = (
            max(1, round(length * scale)) for length in (protocol.patch, protocol.stride)
        )

        def fit(length: int) -> int:
            return max(0, (length - patch) // stride + 1)

        return cls(fit(shape[0]), fit(shape[1]), patch, stride)

    @classmethod
    def on(cls, film: Film, protocol: Protocol) -> "Grid":
        """The grid on a film.

        Raises:
            FilmError: no window fits; or the protocol sets a pixel size, and the film's pixels are
                of unknown size or not square.
        """
        grid = cls.over(film.shape, protocol, pixel_scale(film, protocol))
        if not grid.count:
            raise FilmError(
                f"is too small for a window of {grid.patch} px",
                film.name,
                "check the film, or take a smaller window: the source's would be "
                f"{Geometry.for_sides([film_side(film, protocol)])}",
            )
        return grid

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.rows * self.columns


def pixel_scale(film: Film, protocol: Protocol) -> float:
    """Film pixels per protocol pixel; 1 if the protocol sets no pixel size.

    The film is not resampled. Instead windows on it are larger or smaller by this factor, and each
    window is resized once, to the network's input.

    Raises:
        FilmError: see ``Grid.on``.
    """
    if protocol.resample_mm is None:
        return 1.0
    if film.spacing is None:
        raise FilmError(
            f"has no known pixel size, but the protocol sets one ({protocol.resample_mm:g} mm)",
            film.name,
            "write its pixel size into the table's column spacing_mm",
        )
    down, across = film.spacing
    if not is_square(film.spacing):
        raise FilmError(
            f"its pixels are not square ({down:g} x {across:g} mm)",
            film.name,
            "export it with square pixels, or leave it out",
        )
    return 2 * protocol.resample_mm / (down + across)


def film_side(film: Film, protocol: Protocol) -> float:
    """The shorter side of a film, in pixels of the protocol's size.

    Raises:
        FilmError: see ``Grid.on``.
    """
    return min(film.shape) / pixel_scale(film, protocol)


def inside_fractions(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float64]:
    """The fraction of each window inside the organ.

    Args:
        mask: bool [height, width].
        grid: the grid on the same film.

    Returns:
        float64 [rows, columns] in [0, 1]: exact pixel counts over patch².
    """
    height, width = mask.shape
    top, left = (np.arange(count) * grid.stride for count in (grid.rows, grid.columns))
    # Cumulative sums along all rows, then only down the columns where windows begin: a full
    # summed-area table would take ten times the memory and the time.
    along = np.zeros((height, width + 1), np.int32)
    mask.cumsum(1, np.int32, along[:, 1:])
    down = np.zeros((height + 1, grid.columns), np.int64)
    (along[:, left + grid.patch] - along[:, left]).cumsum(0, np.int64, down[1:])
    return np.asarray((down[top + grid.patch] - down[top]) / grid.patch**2)


@cache
def resize_matrix(source: int, target: int) -> Float:
    """The antialiased bilinear resize of one axis, as a matrix.

    A triangle filter over pixel centres with a half width of one output pixel (one input pixel when
    enlarging); each row sums to 1. torch and pillow compute the same. As a matrix product,
    overlapping windows share the work.

    Returns:
        float32 [target, source].
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    matrix: Float = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False  # every caller gets the cached array
    return matrix


def film_patches(film: Film, grid: Grid, protocol: Protocol) -> Iterator[Float]:
    """The patches of a film, one row of the grid at a time: harmonised, cut, resized.

    Every film becomes patches here, so that a network votes on what it was trained on.

    Args:
        film: as it was read.
        grid: the grid on this film.
        protocol: its tone and side count.

    Yields:
        float32 [columns, side, side] in [0, 1], from the top row down.
    """
    return cut_rows(harmonise(film.scaled(), protocol.tone), grid, protocol.side)


def cut_rows(scaled: Float, grid: Grid, side: int) -> Iterator[Float]:
    """Cut the windows of a film, one row of the grid at a time.

    Args:
        scaled: float32 [height, width] in [0, 1].
        grid: the grid on this film.
        side: side of the output, px.

    Yields:
        float32 [columns, side, side] in [0, 1], from the top row down.
    """
    shrink = resize_matrix(grid.patch, side)
    across = np.ascontiguousarray(shrink.T)
    for row in range(grid.rows):
        top = row * grid.stride
        band = shrink @ scaled[top : top + grid.patch]  # [side, width]
        windows = np.lib.stride_tricks.sliding_window_view(band, grid.patch, axis=1)
        windows = windows[:, :: grid.stride][:, : grid.columns]  # [side, columns, patch]
        yield np.ascontiguousarray(windows.transpose(1, 0, 2)) @ across


def normalise(patches: Float, protocol: Protocol) -> Float:
    """Subtract the protocol's mean, divide by its deviation: float32, same shape."""
    normal: Float = (patches - np.float32(protocol.mean)) / np.float32(protocol.std)
    return normal
