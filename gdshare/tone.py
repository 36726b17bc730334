"""Harmonising films: the tone curve of a detector or a vendor is taken away, film by film.

A pure function of one film: nothing of another patient goes in. Equal films give equal bytes on
every machine: gray levels are integers of 16 bits, statistics are integer sums, and what is real
is computed by + - * / alone, which IEEE 754 rounds in one way only (docs/adr/0036).
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from gdshare.protocol import Tone

Float = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]
"""int64 [65536]: how many pixels have each level."""
Curve = npt.NDArray[np.float64]
"""float64 [65536]: the tone in [0, 1] of each level; it never falls."""

FULL_SCALE = 65535
SAMPLED_SIDE = 512
"""Statistics are taken from every k-th row and column, with the largest k that leaves so many."""
FLAT = 64
"""A frame's levels vary by at most this part of the film's range."""
STRAY = 1024
"""The darkest and the brightest pixels of a film, one in so many, do not count for its range."""
LEAST_FIELD = 64
"""If less than this part of the film would be its field, the field is the whole film."""
MIDDLE = (0.05, 0.95)
"""Where the median may lie between the percentiles before the curve goes no further."""


def harmonise(scaled: Float, tone: Tone) -> Float:
    """A film with the tone curve that the protocol names.

    Args:
        scaled: float32 [height, width] in [0, 1], not empty; larger is brighter.
        tone: ``none`` returns the film as it is.

    Returns:
        float32 [height, width] in [0, 1].
    """
    if tone == "none":
        return scaled
    return _TONES[tone](_quantised(scaled))


def exposed_field(sample: Levels) -> tuple[slice, slice]:
    """Where a film was exposed: its rows and columns without frames and shutters.

    A pixel is flat at the film's darkest or brightest level, give or take 1/64 of its range; a row
    or column of which 19 in 20 pixels are flat is none of the film's. Of the rest the longest run
    is taken, since a marker on a frame makes a short one.

    Args:
        sample: uint16 [rows, columns].

    Returns:
        its rows and columns; all of them if less than 1/64 of the film would be left.
    """
    counts = _count(sample)
    low, high = (_level(counts, part, STRAY) for part in (1, STRAY - 1))
    margin = (high - low) // FLAT
    flat = (sample <= low + margin) | (sample >= high - margin)
    rows = _longest_run(flat)
    columns = _longest_run(flat[rows].T)
    rows = _longest_run(flat[:, columns])
    if sample[rows, columns].size * LEAST_FIELD < sample.size:
        return slice(None), slice(None)
    return rows, columns


def _longest_run(flat: npt.NDArray[np.bool_]) -> slice:
    """The longest run of lines [lines, pixels] that are not flat; all of them if every one is."""
    used = 20 * np.count_nonzero(flat, axis=1) < 19 * flat.shape[1]
    if not used.any():
        return slice(0, len(used))
    edges = np.flatnonzero(np.diff(np.pad(used, 1).astype(np.int8))).reshape(-1, 2)
    start, stop = edges[(edges[:, 1] - edges[:, 0]).argmax()]
    return slice(int(start), int(stop))


def _equalise(levels: Levels) -> Float:
    """Each pixel's rank among all pixels."""
    return _apply(_ranks(_count(_sample(levels))), levels)


def _adjust_levels(levels: Levels) -> Float:
    """Black and white at the exposed field's percentiles, and its median half way between them."""
    return _apply(_bent(_field_counts(levels)), levels)


def _half(levels: Levels) -> Float:
    """Half way between black and white at the field's percentiles, and ranks within the field."""
    counts = _field_counts(levels)
    return _apply((_stretched(counts) + _ranks(counts)) / 2, levels)


_TONES: Mapping[Tone, Callable[[Levels], Float]] = {
    "equalise": _equalise,
    "levels": _adjust_levels,
    "half": _half,
}


def _quantised(scaled: Float) -> Levels:
    levels: Float = scaled * np.float32(FULL_SCALE)
    np.rint(levels, out=levels)
    return levels.astype(np.uint16)


def _sample(levels: Levels) -> Levels:
    step = max(1, min(levels.shape) // SAMPLED_SIDE)
    return levels[::step, ::step]


def _count(sample: Levels) -> Counts:
    return np.bincount(sample.ravel(), minlength=FULL_SCALE + 1)


def _field_counts(levels: Levels) -> Counts:
    sample = _sample(levels)
    return _count(sample[exposed_field(sample)])


def _level(counts: Counts, part: int, of: int) -> int:
    """The lowest level with at least ``part`` pixels in ``of`` at it or below."""
    below = counts.cumsum()
    wanted = max(1, -(-int(below[-1]) * part // of))
    return int(np.searchsorted(below, wanted))


def _apply(curve: Curve, levels: Levels) -> Float:
    return curve.astype(np.float32)[levels]


def _ranks(counts: Counts) -> Curve:
    """The part of the counted pixels below each level, and half of those at it."""
    ranks: Curve = (2 * counts.cumsum() - counts) / (2 * counts.sum())
    return ranks


def _stretched(counts: Counts) -> Curve:
    """0 up to the first percentile, 1 from the 99th, straight between; if they are one level,
    that is the middle.
    """
    low, high = _level(counts, 1, 100), _level(counts, 99, 100)
    levels = np.arange(FULL_SCALE + 1)
    if low == high:
        return ((levels >= low) + (levels > low).astype(np.float64)) / 2
    return np.clip((levels - low) / (high - low), 0, 1)


def _bent(counts: Counts) -> Curve:
    """Stretched, then bent by t / (t + c (1 - t)), which gives the median one half.

    A power would do the same, but no two libraries round powers alike.
    """
    t = _stretched(counts)
    median = min(max(float(t[_level(counts, 1, 2)]), MIDDLE[0]), MIDDLE[1])
    return t / (t + median / (1 - median) * (1 - t))
