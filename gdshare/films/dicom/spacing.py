"""How large a pixel is, as far as the header tells.

PS3.3, 10.7: Pixel Spacing is calibrated, or else equal to Imager Pixel Spacing, which is measured
at the detector; Nominal Scanned Pixel Spacing is that of a digitised film.
"""

from math import isfinite

from pydicom import Dataset

from gdshare.films.bounds import LARGEST_MM, SMALLEST_MM

SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""In the order in which they are believed."""


def spacing(dataset: Dataset) -> tuple[float, float] | None:
    """The distance of pixels' centres (down, across), mm; None where the header does not tell."""
    for name in SPACING:
        try:
            down, across = (float(value) for value in dataset[name].value)
        except (KeyError, TypeError, ValueError):
            continue
        if all(isfinite(s) and SMALLEST_MM <= s <= LARGEST_MM for s in (down, across)):
            return down, across
    return None
