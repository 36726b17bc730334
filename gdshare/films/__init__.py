"""Films: gray-scale X-rays as arrays, and the organ masks drawn on them.

``picture`` reads PNG and TIFF for ``film`` and ``mask``, ``dicom`` reads what a PACS exports,
``outlines`` reads and writes organ outlines. All formats end as a ``Film`` or as a boolean mask of
the film's size; no later step depends on the format. ``burned_in`` finds text in a film's pixels,
``phantom`` draws synthetic films.
"""

from gdshare.films.film import read_film
from gdshare.films.mask import read_mask
from gdshare.films.value import Film

__all__ = ["Film", "read_film", "read_mask"]
