"""From stored values to what a radiologist sees: modality transform, VOI transform, polarity.

PS3.3, C.11.1 (modality LUT, rescale) and C.11.2 (VOI LUT, window); PS3.4, N.2 (their order). Stored
values have at most 16 bits, so the transforms are computed once per possible value, in a table.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from highdicom.pixels import apply_lut, apply_voi_window
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut

from gdshare.errors import FilmError
from gdshare.films.dicom.header import Header
from gdshare.films.dicom.stored import Stored
from gdshare.films.quote import brief

FULL_SCALE = 65535


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
    values = np.arange(count, dtype=np.int32) - (count // 2 if header.signed else 0)
    try:
        gray = _voi(_modality(values, dataset, header), dataset, header)
    except Exception as error:  # a LUT or number in the header may be anything
        raise FilmError(
            f"its modality or VOI transform is malformed ({brief(error)})", path, "export it again"
        ) from error
    if not np.isfinite(gray).all():
        raise FilmError(
            "its modality or VOI transform gives values that are not finite",
            path,
            "export it again",
        )
    gray = np.clip(gray, 0.0, 1.0)
    return np.rint(FULL_SCALE * (1.0 - gray if header.inverted else gray)).astype(np.uint16)


def _modality(
    values: npt.NDArray[np.int32], dataset: Dataset, header: Header
) -> npt.NDArray[np.generic]:
    """The output of the modality transform.

    For fluoroscopy with logarithmic or display values the transform recovers the detector's linear
    values and is not meant for display, so it is skipped (PS3.4, N.2.1.2).
    """
    if header.for_display:
        return values
    return np.asarray(apply_modality_lut(values, dataset))


def _voi(
    values: npt.NDArray[np.generic], dataset: Dataset, header: Header
) -> npt.NDArray[np.float64]:
    """The output of the VOI transform: [0, 1] is the displayed range."""
    if dataset.get("VOILUTSequence"):
        lut = dataset.VOILUTSequence[0]
        count, first, bits = _descriptor(lut.LUTDescriptor, signed=bool(np.min(values) < 0))
        data = _entries(lut.LUTData, count or 65536, header) / ((1 << bits) - 1)
        integers = np.rint(np.asarray(values, np.float64)).astype(np.int64)
        return np.asarray(apply_lut(integers, data, first, clip=True), np.float64)
    exact = np.asarray(values, np.float64)
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        low, high = exact.min(), exact.max()
        return np.asarray((exact - low) / (high - low))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if width < (1.0 if function == "LINEAR" else 1e-9):
        raise ValueError(f"a window of width {width}")
    if function == "LINEAR" and width == 1.0:  # C.11.2.1.2.1: a threshold, without a slope
        return (exact > centre - 0.5).astype(np.float64)
    return np.asarray(apply_voi_window(exact, centre, width, function), np.float64)


def _descriptor(descriptor: Sequence[object], signed: bool) -> tuple[int, int, int]:
    """The number of entries, the first value mapped, and the bits of an entry (C.11.2.1.1).

    The first value mapped is signed if the output of the modality transform is. The VR in the file
    does not decide (implicit VR has none), nor does the sign of the stored values, which pydicom
    would use.
    """
    count, first, bits = (int(str(value)) for value in descriptor)
    if signed and first >= 1 << 15:
        first -= 1 << 16
    if not signed and first < 0:
        first += 1 << 16
    return count, first, bits


def _entries(data: object, count: int, header: Header) -> npt.NDArray[np.float64]:
    """The entries of a LUT: numbers or, in OW, the bytes of 16-bit words."""
    order = "<u2" if header.encoding.is_little_endian else ">u2"
    words = np.frombuffer(data, order) if isinstance(data, bytes) else np.asarray(data)
    if words.shape != (count,):
        raise ValueError(f"a LUT of {words.size} entries that claims {count}")
    return words.astype(np.float64)


def _first(value: object) -> float | None:
    """An element's number, or its first number; None if it is empty."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value in (None, "") else float(str(value))
