"""Reading an organ mask from a picture: which of its values are inside."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gdshare.errors import FilmError, UsageError
from gdshare.films.picture import Picture, Values, read_picture

OUTLINE_IT = (
    "outline the organ, or leave the mask column empty to keep the film for classification only"
)
"""What to do about an empty mask."""

Interval = tuple[float, float]
"""The least and the greatest value that are inside."""

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_INTERVAL = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?", re.ASCII)
_CHOOSE = "choose the organ's values with gdshare outline --inside VALUE"
_MAX_VALUES = 8
"""Number of values that a message lists."""
_PART = 1 << 20
"""Pixels counted at a time: numpy counts in 64 bits."""
_MOSTLY, _MARGIN = 0.8, 0.1
"""Least share of a mask with a soft edge that is black or white, to within a part of the range."""
_ENDS, _BETWEEN = 0.95, 0.1
"""Least share of a mask with a thin soft edge that is black or white, exactly; and of the rest that
lies in the middle half of the range, where no numbers of classes lie that count from 0."""


def parse_interval(text: str) -> Interval:
    """Read ``3`` or ``128-255``.

    Raises:
        UsageError: it is neither.
    """
    match = _INTERVAL.fullmatch(text)
    bounds = [float(number) for number in match.groups() if number] if match else []
    if not bounds or bounds[0] > bounds[-1]:
        raise UsageError(
            "is no value of a mask", f"--inside {text:.20}", "give 3, or 128-255 for a range"
        )
    return bounds[0], bounds[-1]


def read_mask(
    path: Path, shape: tuple[int, int], inside: Sequence[Interval] = ()
) -> npt.NDArray[np.bool_]:
    """Read an organ mask: a picture of two values, whatever they are; the brighter is inside.

    A picture that is white all over marks the whole film. A black and white one whose edge was
    smoothed, as JPEG and resizing leave it, is cut at half of the range.

    Args:
        path: a PNG or TIFF, see ``read_picture``.
        shape: (height, width) of the film, px.
        inside: the values that are inside, if the mask has more than two or the darker is meant.

    Returns:
        bool [height, width], true inside the organ.

    Raises:
        FilmError: as ``read_picture``; or the mask differs from the film in size, has a single
            value that is not white, more than two and no thin soft edge, or none of those that are
            inside.
    """
    picture = read_picture(path)
    values = picture.values
    if values.shape != shape:
        raise FilmError(
            f"the mask is {values.shape[1]} x {values.shape[0]} px but its film is "
            f"{shape[1]} x {shape[0]}",
            path,
            "export the mask at the film's own size",
        )
    if inside:
        return _chosen(values, inside, path)
    distinct, counts = _tally(values)
    if len(distinct) > 2:
        if _is_white(distinct[-1], picture) and _has_thin_edge(distinct, counts):
            return np.asarray(2 * values.astype(np.int64) > distinct[-1])
        raise _ambiguous(distinct, counts, path)
    if len(distinct) == 1 and not _is_white(distinct[0], picture):
        raise FilmError(
            f"the mask has the single value {distinct[0]}, so it marks no pixel as inside the "
            "organ",
            path,
            OUTLINE_IT,
        )
    return np.asarray(values == distinct[-1])


def _is_white(value: np.generic, picture: Picture) -> bool:
    return picture.bits is not None and not picture.classes and value == 2**picture.bits - 1


def _has_thin_edge(distinct: Values, counts: npt.NDArray[np.int64]) -> bool:
    """Whether nearly all is black or white, and the rest spreads between, as at a smoothed edge."""
    white = float(distinct[-1])
    ends = counts[distinct == 0].sum() + counts[-1]
    rest = counts.sum() - ends
    middle = counts[(distinct > white / 4) & (distinct < white * 3 / 4)].sum()
    return bool(
        len(distinct) > _MAX_VALUES and ends >= _ENDS * counts.sum() and middle >= _BETWEEN * rest
    )


def _chosen(values: Values, inside: Sequence[Interval], path: Path) -> npt.NDArray[np.bool_]:
    mask = np.zeros(values.shape, dtype=np.bool_)
    for least, greatest in inside:
        mask |= (values >= least) & (values <= greatest)
    if not mask.any():
        raise FilmError(
            f"the mask has no value that is to be inside, only {_named(*_tally(values))}",
            path,
            _CHOOSE,
        )
    return mask


def _tally(values: Values) -> tuple[Values, npt.NDArray[np.int64]]:
    """The distinct values, rising, and the number of pixels of each."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        return np.unique(values, return_counts=True)
    counts = np.zeros(np.iinfo(values.dtype).max + 1, dtype=np.int64)
    for part in np.array_split(values.ravel(), values.size // _PART + 1):
        counts += np.bincount(part, minlength=len(counts))
    distinct = np.flatnonzero(counts)
    return distinct, counts[distinct]


def _ambiguous(distinct: Values, counts: npt.NDArray[np.int64], path: Path) -> FilmError:
    what = f"the mask has {len(distinct):,} values, not two: {_named(distinct, counts)}"
    low, high = float(distinct[0]), float(distinct[-1])
    margin = _MARGIN * (high - low)
    outer = (distinct <= low + margin) | (distinct >= high - margin)
    if len(distinct) <= _MAX_VALUES or counts[outer].sum() < _MOSTLY * counts.sum():
        return FilmError(what, path, _CHOOSE)
    return FilmError(
        f"{what}; its edge is soft, as smoothing or JPEG leave it",
        path,
        f"export it with hard edges, or {_CHOOSE}, such as {np.ceil((low + high) / 2):g}-{high:g}",
    )


def _named(distinct: Values, counts: npt.NDArray[np.int64]) -> str:
    """The most frequent values, rising, each with its share of the mask."""
    frequent = np.sort(np.argsort(-counts, kind="stable")[:_MAX_VALUES])
    text = ", ".join(f"{distinct[k]} ({counts[k] / counts.sum():.2%})" for k in frequent)
    rest = len(distinct) - len(frequent)
    return f"{text} and {rest:,} rarer ones" if rest else text
