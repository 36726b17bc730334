"""From a film to the boxes of its writing.

The film is first made like what the network knows: it learned on photographs and pages, where
writing is rarely as faint as on a film. Then it is shown to it in pieces, level and turned.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label, uniform_filter

from gdshare.films.box import Box
from gdshare.films.burned_in.network import Gray, writing

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

LONGEST = 4096
"""Longer films are shrunk below this side, px, which bounds time and memory: 0.1 mm a pixel on a
film of 43 cm, and letters of 1 mm are the smallest found."""
DOUBLED_TO = 1024
"""Films up to this side, px, are doubled: on those, legible letters are too small for the network.
"""
PIECE, OVERLAP = 1152, 128
"""Longest side of what the network sees at once, px, and how far pieces reach into each other."""

# Chosen on films of montgomery and of phantom hospital 0, and on the real films in DICOM.
_SURROUNDINGS = 41  # px
_NOISE, _GAIN = 10.0, 60.0  # grey levels of 255: added to the deviation, and shown for one
_LIKELY = 0.3  # where a line's core begins
_SURE = 0.4  # mean over a core's box
_THINNEST, _THICKEST = 3, 128  # of a core, px: smooth tissue may give sheets of several hundred
_GROWTH = 1.6


def find_text(pixels: Pixels) -> tuple[Box, ...]:
    """Find what looks like writing: level or turned by a quarter, lighter or darker than the film.

    The same pixels give the same boxes on the same machine. On one thread a film of 2048 x 2048 px
    takes about 5 CPU-seconds and 0.5 GB, and no film takes more than about 25 s and 0.8 GB.

    Args:
        pixels: uint8 or uint16 [h, w]; what range of the type they use does not matter.

    Returns:
        boxes inside the film, in order; lines whose boxes touch, such as those of one label,
        share a box.

    Raises:
        TextDetectorError: the detector's weights are missing, or not those that were measured.
    """
    if not pixels.size or pixels.min() == pixels.max():
        return ()
    film, factor = _shrunk(pixels)
    film = _stretched(film)
    turned = np.ascontiguousarray(np.rot90(film, -1))  # what ran upwards is level
    level = _lines(_likely(film))
    upright = [_turned_back(box, film.shape[0]) for box in _lines(_likely(turned))]
    height, width = pixels.shape
    return tuple(
        sorted(
            Box(
                box.left * factor,
                box.top * factor,
                min(box.right * factor, width),
                min(box.bottom * factor, height),
            )
            for box in _merged([*level, *upright], film.shape)
        )
    )


def _shrunk(pixels: Pixels) -> tuple[Gray, int]:
    """The film by means over blocks, and their side, px: no side is above ``LONGEST`` any more."""
    factor = math.ceil(max(pixels.shape) / LONGEST)
    if factor == 1:
        return pixels.astype(np.float32), 1
    starts = [np.arange(0, side, factor) for side in pixels.shape]
    sizes = [
        np.diff(np.append(start, side)) for start, side in zip(starts, pixels.shape, strict=True)
    ]
    sums = np.add.reduceat(pixels, starts[1], axis=1, dtype=np.float32)
    sums = np.add.reduceat(sums, starts[0], axis=0)
    return (sums / np.outer(*sizes)).astype(np.float32), factor


def _stretched(film: Gray) -> Gray:
    """Stretch the film's own range to [0, 255]: 12 bits stored in 16 would be black otherwise."""
    low, high = float(film.min()), float(film.max())
    return (film - np.float32(low)) * np.float32(255 / max(high - low, 1e-3))


def _likely(film: Gray) -> Gray:
    """How likely each pixel is in the core of a line: float32 [h, w] in [0, 1], piece by piece."""
    likely = np.zeros(film.shape, np.float32)
    doubled = max(film.shape) <= DOUBLED_TO
    longest = PIECE // 2 if doubled else PIECE
    for rows in _pieces(film.shape[0], longest):
        for columns in _pieces(film.shape[1], longest):
            seen = writing(_evened(film[rows, columns]), doubled)
            likely[rows, columns] = np.maximum(likely[rows, columns], seen)
    return likely


def _pieces(side: int, longest: int) -> Iterator[slice]:
    """Cover a side by as few pieces as reach, all of one length."""
    count = max(1, math.ceil((side - OVERLAP) / (longest - OVERLAP)))
    length = math.ceil((side + (count - 1) * OVERLAP) / count)
    for index in range(count):
        start = min(index * (length - OVERLAP), side - length)
        yield slice(start, start + length)


def _evened(film: Gray) -> Gray:
    """Each pixel by how far it is from its surroundings, in their deviations: into [-1, 1].

    Faint letters on even ground come out as clear as white on black. What is added to the
    deviation keeps the film's noise from coming out as clear.
    """
    middle = uniform_filter(film, _SURROUNDINGS, mode="nearest")
    variance = uniform_filter(film * film, _SURROUNDINGS, mode="nearest") - middle * middle
    away = (film - middle) / (np.sqrt(np.maximum(variance, 0)) + np.float32(_NOISE))
    evened: Gray = np.clip(away * np.float32(_GAIN / 127.5), -1, 1)
    return evened


def _lines(likely: Gray) -> list[Box]:
    """Boxes around lines, from where the network sees their cores.

    A core is the line shrunk on all sides by area x 1.6 / circumference, as the network was taught
    (Liao et al., "Real-time scene text detection with differentiable binarization", AAAI 2020), so
    the core's box is grown by as much.
    """
    boxes = []
    for rows, columns in find_objects(label(likely > _LIKELY)[0]):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        thickness = min(height, width)
        if _THINNEST <= thickness <= _THICKEST and likely[rows, columns].mean() >= _SURE:
            by = round(_GROWTH * height * width / (2 * (height + width)))
            boxes.append(
                Box(columns.start - by, rows.start - by, columns.stop + by, rows.stop + by)
            )
    return boxes


def _turned_back(box: Box, height: int) -> Box:
    """A box on a film turned clockwise as one on the film, which is ``height`` px high."""
    return Box(box.top, height - box.right, box.bottom, height - box.left)


def _merged(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Boxes cut to the film; those that touch as one."""
    covered = np.zeros(shape, np.bool_)
    for box in boxes:
        covered[max(0, box.top) : box.bottom, max(0, box.left) : box.right] = True
    return [
        Box(columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in find_objects(label(covered)[0])
    ]
