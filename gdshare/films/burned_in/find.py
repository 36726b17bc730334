"""From a film to the boxes around its text.

The network was trained on photographs and pages, where text is rarely as faint as on a film, so the
film's local contrast is normalised first. The network then sees it in overlapping tiles, once
upright and once turned by a quarter.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label, uniform_filter

from gdshare.films.box import Box
from gdshare.films.burned_in.network import Gray, text_probability

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

MAX_SIDE = 4096
"""Longer films are reduced to at most this side, px, to bound time and memory. On a film of 43 cm a
pixel is then 0.1 mm, and letters of 1 mm are the smallest found."""
DOUBLED_TO = 1024
"""Films up to this side, px, are doubled: their legible letters are too small for the network."""
TILE, OVERLAP = 1152, 128
"""Longest side of the network's input, px, and the overlap of neighbouring tiles, px."""

# Chosen on films of montgomery and of phantom hospital 0, and on the real films in DICOM.
_WINDOW = 41  # px, of the local mean and deviation
_NOISE, _GAIN = 10.0, 60.0  # gray levels of 255: added to the deviation; given to one deviation
_CORE = 0.3  # probability at the edge of a line's core
_MIN_MEAN = 0.4  # probability, mean over a core's box
_MIN_THICKNESS, _MAX_THICKNESS = 3, 128  # of a core, px; smooth tissue may give hundreds
_GROWTH = 1.6  # of a core to its line, see _lines


def find_text(pixels: Pixels) -> tuple[Box, ...]:
    """Find text: horizontal or vertical, lighter or darker than the film.

    The same pixels give the same boxes on the same machine. On one thread a film of 2048 x 2048 px
    takes about 5 CPU-seconds and 0.5 GB, and no film takes more than about 25 s and 0.8 GB.

    Args:
        pixels: uint8 or uint16 [h, w]; they need not use the full range of the type.

    Returns:
        boxes inside the film, sorted; lines with boxes that touch, such as those of one label,
        share a box.

    Raises:
        TextDetectorError: the detector's weights are missing or differ from the measured ones.
    """
    if not pixels.size or pixels.min() == pixels.max():
        return ()
    film, factor = _reduce(pixels)
    film = _stretch(film)
    turned = np.ascontiguousarray(np.rot90(film, -1))  # vertical text becomes horizontal
    horizontal = _lines(_probability(film))
    vertical = [_turn_back(box, film.shape[0]) for box in _lines(_probability(turned))]
    height, width = pixels.shape
    return tuple(
        sorted(
            Box(
                box.left * factor,
                box.top * factor,
                min(box.right * factor, width),
                min(box.bottom * factor, height),
            )
            for box in _merge([*horizontal, *vertical], film.shape)
        )
    )


def _reduce(pixels: Pixels) -> tuple[Gray, int]:
    """Average blocks until no side exceeds ``MAX_SIDE``: the film, and the side of a block, px."""
    factor = math.ceil(max(pixels.shape) / MAX_SIDE)
    if factor == 1:
        return pixels.astype(np.float32), 1
    starts = [np.arange(0, side, factor) for side in pixels.shape]
    sizes = [
        np.diff(np.append(start, side)) for start, side in zip(starts, pixels.shape, strict=True)
    ]
    sums = np.add.reduceat(pixels, starts[1], axis=1, dtype=np.float32)
    sums = np.add.reduceat(sums, starts[0], axis=0)
    return (sums / np.outer(*sizes)).astype(np.float32), factor


def _stretch(film: Gray) -> Gray:
    """Stretch the film's own range to [0, 255]; 12 bits in a uint16 would be almost black."""
    low, high = float(film.min()), float(film.max())
    return (film - np.float32(low)) * np.float32(255 / max(high - low, 1e-3))


def _probability(film: Gray) -> Gray:
    """The probability of each pixel to lie in the core of a line, tile by tile: float32 [h, w]."""
    probability = np.zeros(film.shape, np.float32)
    doubled = max(film.shape) <= DOUBLED_TO
    longest = TILE // 2 if doubled else TILE
    for rows in _tiles(film.shape[0], longest):
        for columns in _tiles(film.shape[1], longest):
            tile = text_probability(_normalise_contrast(film[rows, columns]), doubled)
            probability[rows, columns] = np.maximum(probability[rows, columns], tile)
    return probability


def _tiles(side: int, longest: int) -> Iterator[slice]:
    """Cover a side with the fewest overlapping tiles, all of one length."""
    count = max(1, math.ceil((side - OVERLAP) / (longest - OVERLAP)))
    length = math.ceil((side + (count - 1) * OVERLAP) / count)
    for index in range(count):
        start = min(index * (length - OVERLAP), side - length)
        yield slice(start, start + length)


def _normalise_contrast(film: Gray) -> Gray:
    """Subtract the local mean and divide by the local deviation: float32 [h, w] in [-1, 1].

    Faint letters on an even background become as clear as white on black. The constant added to the
    deviation keeps the film's noise from becoming as clear.
    """
    mean = uniform_filter(film, _WINDOW, mode="nearest")
    variance = uniform_filter(film * film, _WINDOW, mode="nearest") - mean * mean
    score = (film - mean) / (np.sqrt(np.maximum(variance, 0)) + np.float32(_NOISE))
    normal: Gray = np.clip(score * np.float32(_GAIN / 127.5), -1, 1)
    return normal


def _lines(probability: Gray) -> list[Box]:
    """Boxes around lines of text, from the network's map of their cores, float32 [h, w].

    The network was trained on cores: lines shrunk on all sides by area x 1.6 / circumference (Liao
    et al., "Real-time scene text detection with differentiable binarization", AAAI 2020). Each
    core's box is therefore grown by as much.
    """
    boxes = []
    for rows, columns in find_objects(label(probability > _CORE)[0]):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        sure = probability[rows, columns].mean() >= _MIN_MEAN
        if sure and _MIN_THICKNESS <= min(height, width) <= _MAX_THICKNESS:
            by = round(_GROWTH * height * width / (2 * (height + width)))
            boxes.append(
                Box(columns.start - by, rows.start - by, columns.stop + by, rows.stop + by)
            )
    return boxes


def _turn_back(box: Box, height: int) -> Box:
    """Map a box on the film turned clockwise to the upright film of this height, px."""
    return Box(box.top, height - box.right, box.bottom, height - box.left)


def _merge(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Clip boxes to the film and join those that touch."""
    covered = np.zeros(shape, np.bool_)
    for box in boxes:
        covered[max(0, box.top) : box.bottom, max(0, box.left) : box.right] = True
    return [
        Box(columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in find_objects(label(covered)[0])
    ]
