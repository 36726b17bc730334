"""From stored values to what a radiologist sees: modality and VOI transforms, then polarity.

PS3.3, C.11.1 (modality LUT, rescale) and C.11.2 (VOI LUT, window); PS3.4, N.2 (their order). Stored
values have 16 bits at most, so the whole way is worked out once for each of them, in a table.
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

FULL = 65535


def present(stored: Stored, dataset: Dataset, header: Header, path: Path) -> npt.NDArray[np.uint16]:
    """Show a frame's stored values as its header wants them shown.

    A VOI LUT is preferred to a window, the first of each to the others. With neither, the full
    range that the stored bits can hold becomes the full range shown: never the range that this one
    film happens to use, which would make its brightness depend on what is on it.

    Args:
        stored: int or uint [rows, columns].
        dataset: with the elements of the gray-scale transforms.
        header: of the same.
        path: what to call the film in a message.

    Returns:
        uint16 [rows, columns], 0 shown black and 65535 white.

    Raises:
        FilmError: a transform is malformed, or leaves all of the film in one gray.
    """
    table = presentation_table(dataset, header, path)
    low = -(1 << (header.stored - 1)) if header.signed else 0
    # Bits above those stored may carry an overlay; in two's complement they repeat the sign.
    shown: npt.NDArray[np.uint16] = table[
        (stored.astype(np.int32) - low) & ((1 << header.stored) - 1)
    ]
    if shown.size > 1 and shown.min() == shown.max():
        raise FilmError(
            "shown by its own window, all of it is one gray",
            path,
            "check it on a viewer, and export it with a window that fits",
        )
    return shown


def presentation_table(dataset: Dataset, header: Header, path: Path) -> npt.NDArray[np.uint16]:
    """What each value that the stored bits can hold is shown as, from the smallest.

    Returns:
        uint16 [2 ** bits stored].

    Raises:
        FilmError: a transform is malformed.
    """
    count = 1 << header.stored
    values = np.arange(count, dtype=np.int32) - (count // 2 if header.signed else 0)
    try:
        shown = _voi(_modality(values, dataset, header), dataset, header)
    except Exception as error:  # a LUT or number in the header may be anything
        said = f"{type(error).__name__}: {error}"[:120].replace("\n", " ")
        raise FilmError(
            f"its modality or VOI transform is malformed ({said})", path, "export it again"
        ) from error
    if not np.isfinite(shown).all():
        raise FilmError(
            "its modality or VOI transform leaves the range of numbers", path, "export it again"
        )
    shown = np.clip(shown, 0.0, 1.0)
    table: npt.NDArray[np.uint16] = np.rint(FULL * (1.0 - shown if header.inverted else shown))
    return table.astype(np.uint16)


def _modality(
    values: npt.NDArray[np.int32], dataset: Dataset, header: Header
) -> npt.NDArray[np.generic]:
    """The modality transform's output.

    On fluoroscopy whose values are logarithmic or made for display, it leads back to the detector's
    linear ones and is not meant for the screen (PS3.4, N.2.1.2).
    """
    if header.for_display:
        return values
    return np.asarray(apply_modality_lut(values, dataset))


def _voi(
    values: npt.NDArray[np.generic], dataset: Dataset, header: Header
) -> npt.NDArray[np.float64]:
    """The VOI transform's output, [0, 1] for what it maps."""
    if dataset.get("VOILUTSequence"):
        lut = dataset.VOILUTSequence[0]
        entries, first, bits = _descriptor(lut.LUTDescriptor, signed=bool(np.min(values) < 0))
        data = _entries(lut.LUTData, entries or 65536, header) / ((1 << bits) - 1)
        whole = np.rint(np.asarray(values, np.float64)).astype(np.int64)
        return np.asarray(apply_lut(whole, data, first, clip=True), np.float64)
    exact = np.asarray(values, np.float64)
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        low, high = exact.min(), exact.max()
        return np.asarray((exact - low) / (high - low))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if width < (1.0 if function == "LINEAR" else 1e-9):
        raise ValueError(f"a window's width of {width}")
    if function == "LINEAR" and width == 1.0:  # a threshold, C.11.2.1.2.1: no slope to divide by
        return (exact > centre - 0.5).astype(np.float64)
    return np.asarray(apply_voi_window(exact, centre, width, function), np.float64)


def _descriptor(told: Sequence[object], signed: bool) -> tuple[int, int, int]:
    """The number of entries, the first value mapped, and the bits of an entry (C.11.2.1.1).

    The first value mapped has the sign that the modality transform's output has, whatever the file
    says (it may say nothing: implicit VR), or whatever pydicom makes of the stored values' sign.
    """
    entries, first, bits = (int(str(value)) for value in told)
    if signed and first >= 1 << 15:
        first -= 1 << 16
    if not signed and first < 0:
        first += 1 << 16
    return entries, first, bits


def _entries(data: object, count: int, header: Header) -> npt.NDArray[np.float64]:
    """A LUT's entries, which come as numbers or, in OW, as the bytes of 16-bit words."""
    order = "<u2" if header.encoding.is_little_endian else ">u2"
    words = np.frombuffer(data, order) if isinstance(data, bytes) else np.asarray(data)
    if words.shape != (count,):
        raise ValueError(f"a LUT of {words.size} entries that claims {count}")
    return words.astype(np.float64)


def _first(value: object) -> float | None:
    """A number, the first of several, or None for an empty element."""
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value in (None, "") else float(str(value))
