"""Lookup tables in a DICOM header: modality LUT (PS3.3, C.11.1.1) and VOI LUT (C.11.2.1.1).

Numbers are read by what they mean: VRs in real files are often wrong, and implicit VR has none.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from gdshare.errors import FilmError
from gdshare.films.dicom.elements import EXPORT_AGAIN, items_of, numbers_of, value_of

MODALITY, VOI = "ModalityLUTSequence", "VOILUTSequence"
_WORD = 1 << 16


@dataclass(frozen=True)
class Lut:
    """A lookup table.

    Attributes:
        first: the value that the first entry is for; the values below it get that entry too.
        entries: int64 [count], never negative; the last is also for all greater values.
        bits: of an entry, as declared.
    """

    first: int
    entries: npt.NDArray[np.int64]
    bits: int

    @property
    def full_scale(self) -> int:
        """The entry that stands for white in a VOI LUT.

        The greatest that the declared bits hold, if an entry needs them all. Many devices declare
        16 bits and write entries of 12; then it is the greatest entry, as viewers have it.
        """
        greatest = int(self.entries.max())
        return max(1, (1 << self.bits) - 1 if greatest.bit_length() == self.bits else greatest)

    def apply(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The entries for whole numbers of any shape."""
        return self.entries[np.clip(values - self.first, 0, self.entries.size - 1)]


def read_lut(dataset: Dataset, sequence: str, signed: bool, big_endian: bool) -> Lut | None:
    """The first LUT of a sequence; None if there is none with both descriptor and data.

    Args:
        dataset: with that sequence.
        sequence: ``MODALITY`` or ``VOI``.
        signed: whether the values that the LUT maps may be negative. That decides the sign of the
            first value mapped; the VR in the file does not.
        big_endian: byte order of the file.

    Raises:
        FilmError: the LUT contradicts itself; without a path.
    """
    for item in items_of(dataset, sequence):
        descriptor, data = numbers_of(item, "LUTDescriptor"), value_of(item, "LUTData")
        if descriptor and data is not None:
            count, first, bits = _described(descriptor, signed)
            return Lut(first, _entries(_words(item, big_endian), count, bits, sequence), bits)
    return None


def _described(descriptor: tuple[float | None, ...], signed: bool) -> tuple[int, int, int]:
    """The number of entries, the first value mapped, and the bits of an entry."""
    if len(descriptor) != 3 or None in descriptor:
        raise FilmError("its LUTDescriptor has not three numbers", remedy=EXPORT_AGAIN)
    count, first, bits = (int(number or 0) for number in descriptor)
    if signed and first >= _WORD // 2:
        first -= _WORD
    if not signed and first < 0:
        first += _WORD
    return count % _WORD or _WORD, first, bits


def _words(item: Dataset, big_endian: bool) -> npt.NDArray[np.int64]:
    """The 16-bit words of a LUT's data; unsigned, even where their VR is SS."""
    data = value_of(item, "LUTData")
    if not isinstance(data, bytes):
        return np.array([int(number or 0) for number in numbers_of(item, "LUTData")]) % _WORD
    if item["LUTData"].VR == "OB" and big_endian:  # bytes are never swapped, words are
        big_endian = False
    even = data + bytes(len(data) % 2)
    return np.frombuffer(even, ">u2" if big_endian else "<u2").astype(np.int64)


def _entries(
    words: npt.NDArray[np.int64], count: int, bits: int, sequence: str
) -> npt.NDArray[np.int64]:
    """One entry a word or, up to 8 bits, two: the first in the low byte (C.11.1.1.1)."""
    if words.size == count:
        return words
    if bits <= 8 and words.size == (count + 1) // 2:
        return np.stack([words & 255, words >> 8], axis=1).ravel()[:count]
    raise FilmError(
        f"its {sequence} has {words.size} words for {count} entries of {bits} bits",
        remedy=EXPORT_AGAIN,
    )
