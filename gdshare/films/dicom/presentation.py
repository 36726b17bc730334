"""From stored values to what a radiologist sees: modality transform, VOI transform, polarity.

PS3.3, C.11.1 (modality LUT, rescale) and C.11.2 (VOI LUT, window); PS3.4, N.2 (their order). Stored
values have at most 16 bits, so the transforms are computed once per possible value, in a table.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from highdicom.pixels import apply_voi_window
from pydicom import Dataset

from gdshare.errors import FilmError
from gdshare.films.dicom.elements import EXPORT_AGAIN, number_of, numbers_of, text_of
from gdshare.films.dicom.header import Header
from gdshare.films.dicom.lut import MODALITY, VOI, read_lut
from gdshare.films.dicom.stored import Stored

FULL_SCALE = 65535
WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def present(stored: Stored, dataset: Dataset, header: Header, path: Path) -> npt.NDArray[np.uint16]:
    """Display a frame's stored values as its header asks.

    A VOI LUT takes precedence over a window, the first LUT or window over the others. Without
    either, the full range of the stored bits is displayed: the film's own minimum and maximum would
    make its brightness depend on its content.

    Args:
        stored: int or uint [rows, columns].
        dataset: with the elements of the gray-scale transforms.
        header: the header of ``dataset``.
        path: the film's path, for messages.

    Returns:
        uint16 [rows, columns]; 0 is black, 65535 white.

    Raises:
        FilmError: a transform is malformed, or maps the whole film to one gray.
    """
    table = presentation_table(dataset, header, path)
    low = -(1 << (header.stored - 1)) if header.signed else 0
    # Bits above those stored may carry an overlay; in two's complement they repeat the sign.
    pixels: npt.NDArray[np.uint16] = table[
        (stored.astype(np.int32) - low) & ((1 << header.stored) - 1)
    ]
    if pixels.size > 1 and pixels.min() == pixels.max():
        raise FilmError(
            "its own window shows the whole film as one gray",
            path,
            "check it in a viewer, and export it with a window that fits",
        )
    return pixels


def presentation_table(dataset: Dataset, header: Header, path: Path) -> npt.NDArray[np.uint16]:
    """The gray of every value that the stored bits can hold, from the smallest value.

    Returns:
        uint16 [2 ** header.stored]; 0 is black, 65535 white.

    Raises:
        FilmError: a transform is malformed.
    """
    count = 1 << header.stored
    values = np.arange(count, dtype=np.int64) - (count // 2 if header.signed else 0)
    try:
        linear = _finite(_modality(values, dataset, header))
        gray = np.clip(_finite(_voi(linear, dataset, header)), 0.0, 1.0)
    except FilmError as error:
        raise error.at(path) from error
    return np.rint(FULL_SCALE * (1.0 - gray if header.inverted else gray)).astype(np.uint16)


def _modality(
    values: npt.NDArray[np.int64], dataset: Dataset, header: Header
) -> npt.NDArray[np.float64]:
    """The output of the modality transform.

    For fluoroscopy with logarithmic or display values the transform recovers the detector's linear
    values and is not meant for display, so it is skipped (PS3.4, N.2.1.2).
    """
    if header.for_display:
        return values.astype(np.float64)
    lut = read_lut(dataset, MODALITY, header.signed, header.big_endian)
    if lut is not None:
        return lut.apply(values).astype(np.float64)
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    if slope == 0:
        raise FilmError("its RescaleSlope is 0", remedy=EXPORT_AGAIN)
    linear = values * (1.0 if slope is None else slope) + (intercept or 0.0)
    return np.asarray(linear, np.float64)


def _voi(
    values: npt.NDArray[np.float64], dataset: Dataset, header: Header
) -> npt.NDArray[np.float64]:
    """The output of the VOI transform: [0, 1] is the displayed range."""
    lut = read_lut(dataset, VOI, bool(values.min() < 0), header.big_endian)
    if lut is not None:
        entries = lut.apply(np.rint(values).astype(np.int64))
        return np.asarray(entries / lut.full_scale, np.float64)
    window = _window(dataset)
    if window is None:
        low, high = values.min(), values.max()
        return np.asarray((values - low) / max(high - low, np.finfo(np.float64).tiny))
    centre, width = window
    function = text_of(dataset, "VOILUTFunction") or WINDOW_FUNCTIONS[0]
    if function not in WINDOW_FUNCTIONS:
        raise FilmError("its VOILUTFunction is unknown", remedy=EXPORT_AGAIN)
    if width < (1.0 if function == "LINEAR" else 1e-9):
        raise FilmError(f"its window has a width of {width:g}", remedy=EXPORT_AGAIN)
    if function == "LINEAR" and width == 1.0:  # C.11.2.1.2.1: a threshold, without a slope
        return (values > centre - 0.5).astype(np.float64)
    return np.asarray(apply_voi_window(values, centre, width, function), np.float64)


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise FilmError(
            "its modality or VOI transform gives values that are not finite", remedy=EXPORT_AGAIN
        )
    return values


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The centre and width of the first window that has both."""
    pairs = zip(
        numbers_of(dataset, "WindowCenter"), numbers_of(dataset, "WindowWidth"), strict=False
    )
    for centre, width in pairs:
        if centre is not None and width is not None:
            return centre, width
    return None
