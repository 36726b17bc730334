"""Cutting a film into a grid of square windows, resized to the network's input.

Source: Li et al. 2020, sections 2.1 and 3.1; method.md section 1. 2048 px, windows of 299 with
stride 50 give 35 x 35 = 1225.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError
from gdshare.films import Film
from gdshare.films.bounds import SQUARE
from gdshare.protocol import Protocol

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Where the windows of one film lie. No padding: windows that do not fit are dropped.

    Attributes:
        rows, columns: how many windows down and across; either may be 0 on a small film.
        patch, stride: side of a window and step between windows, px.
    """

    rows: int
    columns: int
    patch: int
    stride: int

    @classmethod
    def over(cls, shape: tuple[int, int], protocol: Protocol, scale: float = 1.0) -> "Grid":
        """The grid on a film of ``shape`` (height, width).

        Args:
            shape: px.
            protocol: its patch and stride, in pixels of its own size.
            scale: how many of the film's pixels cover one of those, see ``pixel_scale``.
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
            FilmError: the protocol tells the size of a pixel and the film does not, or its pixels
                are not square; or not a single window fits on it.
        """
        grid = cls.over(film.shape, protocol, pixel_scale(film, protocol))
        grid.require_windows(film.name)
        return grid

    @property
    def count(self) -> int:
        """Windows in all."""
        return self.rows * self.columns

    def require_windows(self, name: str) -> None:
        """Refuse a film too small for a single window.

        Raises:
            FilmError: naming the film.
        """
        if not self.count:
            raise FilmError(
                f"no window of {self.patch} px fits on it",
                name,
                "films and patch size must belong together",
            )


def pixel_scale(film: Film, protocol: Protocol) -> float:
    """How many of the film's pixels cover one of the protocol's; 1 if that tells no size.

    Nothing is resampled twice: the window is that much larger or smaller on the film as it is, and
    resized to the network's input in one go.

    Raises:
        FilmError: see ``Grid.on``.
    """
    if protocol.resample_mm is None:
        return 1.0
    if film.spacing is None:
        raise FilmError(
            f"nobody tells the size of its pixels, which the protocol ({protocol.resample_mm:g} "
            "mm) asks for",
            film.name,
            "give it in the table's column spacing_mm",
        )
    down, across = film.spacing
    if not 1 / SQUARE <= down / across <= SQUARE:
        raise FilmError(
            f"its pixels are not square ({down:g} x {across:g} mm)",
            film.name,
            "export it with square ones, or leave it out",
        )
    return 2 * protocol.resample_mm / (down + across)


def inside_fractions(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float64]:
    """The share of each window that lies inside the organ.

    Args:
        mask: bool [height, width].
        grid: of the same film.

    Returns:
        float64 [rows, columns] in [0, 1]; exact counts over patch².
    """
    height, width = mask.shape
    top, left = (np.arange(count) * grid.stride for count in (grid.rows, grid.columns))
    # Sums run along whole rows, but down the few columns of windows only: a table of all sums
    # would take ten times the memory and the time.
    along = np.zeros((height, width + 1), np.int32)
    mask.cumsum(1, np.int32, along[:, 1:])
    down = np.zeros((height + 1, grid.columns), np.int64)
    (along[:, left + grid.patch] - along[:, left]).cumsum(0, np.int64, down[1:])
    return np.asarray((down[top + grid.patch] - down[top]) / grid.patch**2)


@cache
def resize_matrix(source: int, target: int) -> Float:
    """The antialiased bilinear resize of one axis, as a matrix.

    A triangle filter over pixel centres, as wide as the reduction (as wide as one pixel when
    enlarging), each row summing to 1: what torch and pillow compute, here as a product so that
    overlapping windows share their work.

    Returns:
        float32 [target, source].
    """
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    matrix: Float = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False  # the cache hands every caller the same array
    return matrix


def cut_rows(scaled: Float, grid: Grid, side: int) -> Iterator[Float]:
    """Cut the windows of a film, one row of the grid at a time.

    Args:
        scaled: float32 [height, width] in [0, 1].
        grid: of this film.
        side: side of the output, px.

    Yields:
        float32 [columns, side, side] in [0, 1], from the top row down.
    """
    shrink = resize_matrix(grid.patch, side)
    across = np.ascontiguousarray(shrink.T)
    for row in range(grid.rows):
        top = row * grid.stride
        band = shrink @ scaled[top : top + grid.patch]  # [side, width], shared by the whole row
        windows = np.lib.stride_tricks.sliding_window_view(band, grid.patch, axis=1)
        windows = windows[:, :: grid.stride][:, : grid.columns].transpose(1, 0, 2)
        yield np.ascontiguousarray(windows) @ across


def normalise(patches: Float, protocol: Protocol) -> Float:
    """Subtract the protocol's mean and divide by its deviation; shape and dtype are kept."""
    normal: Float = (patches - np.float32(protocol.mean)) / np.float32(protocol.std)
    return normal
