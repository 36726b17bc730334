"""Harmonising films: the tone curve of a detector or a vendor is taken away, film by film.

A pure function of one film: nothing of another patient goes in. Equal films give equal bytes on
every machine: levels are integers of 16 bits, statistics are integer sums, and what is real is
computed by + - * / and sqrt alone, which IEEE 754 rounds in one way only (docs/adr/0036).
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
FINE = 4095
"""Steps of the tones that local contrast is summed over."""
REACH = 15
"""Half the side of the square of local contrast, as a part of the film's shorter side: the
deviation of such a square is that of 20 px on 512."""
LEAST_DEVIATION = 1 / 64
"""Added to the local deviation, so that noise on a flat area stays small."""


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


def _field(levels: Levels) -> Float:
    """Each pixel's rank among those of the exposed field."""
    return _apply(_ranks(_field_counts(levels)), levels)


def _half(levels: Levels) -> Float:
    """Half way between the film stretched over the field's percentiles and ``field``."""
    counts = _field_counts(levels)
    return _apply((_stretched(counts) + _ranks(counts)) / 2, levels)


def _gamma(levels: Levels) -> Float:
    """Stretched over the field's percentiles, and curved so that its median is in the middle."""
    return _apply(_curved(_field_counts(levels)), levels)


def _local(levels: Levels) -> Float:
    """Half ``gamma``, half the contrast to the surroundings, in deviations of the surroundings.

    Three deviations either way are black and white. The surroundings' mean and deviation are those
    of the sample's pixel at or before each pixel.
    """
    curve = _curved(_field_counts(levels))
    sample = np.rint(curve * FINE).astype(np.int64)[_sample(levels)]
    mean, deviation = (moment / FINE for moment in _surroundings(sample))
    height, width = levels.shape
    step = _step(levels)
    mixed = np.empty((height, width), np.float32)
    for row in range(len(sample)):
        rows = slice(row * step, (row + 1) * step)
        middle, spread = (
            np.repeat(moment[row], step)[:width] for moment in (mean, deviation + LEAST_DEVIATION)
        )
        tones = curve[levels[rows]]
        contrast = 0.5 + (tones - middle) / (6 * spread)
        mixed[rows] = (tones + np.clip(contrast, 0, 1)) / 2
    return mixed


_TONES: Mapping[Tone, Callable[[Levels], Float]] = {
    "equalise": _equalise,
    "field": _field,
    "half": _half,
    "gamma": _gamma,
    "local": _local,
}


def _quantised(scaled: Float) -> Levels:
    levels: Float = scaled * np.float32(FULL_SCALE)
    np.rint(levels, out=levels)
    return levels.astype(np.uint16)


def _step(levels: Levels) -> int:
    shorter: int = min(levels.shape)
    return max(1, shorter // SAMPLED_SIDE)


def _sample(levels: Levels) -> Levels:
    step = _step(levels)
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


def _curved(counts: Counts) -> Curve:
    """Stretched, then bent by t / (t + c (1 - t)), which gives the median one half.

    A power would do the same, but no two libraries round powers alike.
    """
    t = _stretched(counts)
    median = min(max(float(t[_level(counts, 1, 2)]), MIDDLE[0]), MIDDLE[1])
    return t / (t + median / (1 - median) * (1 - t))


def _surroundings(sample: npt.NDArray[np.int64]) -> tuple[Curve, Curve]:
    """Mean and deviation of the square around each pixel, float64 of the same shape.

    Args:
        sample: int64 [rows, columns], 0 to ``FINE``; squares end at its edges.
    """
    reach = min(sample.shape) // REACH
    (top, bottom), (left, right) = (_ends(length, reach) for length in sample.shape)
    area = (bottom - top)[:, None] * (right - left)
    means = []
    for values in (sample, sample**2):
        table = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        band = table[bottom] - table[top]
        means.append((band[:, right] - band[:, left]) / area)
    mean, square = means
    return mean, np.sqrt(np.maximum(square - mean * mean, 0))


def _ends(length: int, reach: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the stretch of ``reach`` either side of each place begins and ends."""
    places = np.arange(length)
    return np.maximum(places - reach, 0), np.minimum(places + reach + 1, length)
