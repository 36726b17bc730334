"""The size of a pixel, from the header.

PS3.3, 10.7: Pixel Spacing is calibrated, or equal to Imager Pixel Spacing, which is measured at the
detector. Nominal Scanned Pixel Spacing is that of a digitised film.
"""

from math import isfinite

from pydicom import Dataset

from gdshare.films.bounds import MAX_PIXEL_MM, MIN_PIXEL_MM

SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Most reliable first."""


def spacing(dataset: Dataset) -> tuple[float, float] | None:
    """The distance between pixel centres (down, across), mm; None if the header states none."""
    for name in SPACING:
        try:
            down, across = (float(value) for value in dataset[name].value)
        except (KeyError, TypeError, ValueError):
            continue
        if all(isfinite(side) and MIN_PIXEL_MM <= side <= MAX_PIXEL_MM for side in (down, across)):
            return down, across
    return None
