"""Films: gray-scale X-rays as arrays, and the organ masks drawn on them.

``film`` reads PNG and TIFF, ``dicom`` what a PACS hands out. All end as the same two things, a
``Film`` and a boolean mask of the film's size; nothing downstream asks where they came from.
"""

from gdshare.films.film import read_film, read_mask
from gdshare.films.value import Film

__all__ = ["Film", "read_film", "read_mask"]
