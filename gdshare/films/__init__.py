"""Films: gray-scale X-rays as arrays, and the organ masks drawn on them.

``film`` reads PNG and TIFF. Other sources (DICOM, annotation formats) join here by returning the
same two things, a ``Film`` and a boolean mask of the film's size; nothing downstream asks where
they came from.
"""

from gdshare.films.film import Film, read_film, read_mask

__all__ = ["Film", "read_film", "read_mask"]
