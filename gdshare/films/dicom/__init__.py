"""Radiographs in DICOM files, as a PACS exports them.

``header`` reads and checks the few elements that decide a film's pixels (with ``elements`` and
``spacing``). ``stored`` decodes one frame; compressed frames are held against the header
(``agreement``, ``codestream``) and decoded in a separate process (``decoder``, ``codec``).
``presentation`` turns stored values into what a radiologist sees on the screen (with ``lut``).
``film`` joins them.
"""

from gdshare.films.dicom.film import read_dicom

__all__ = ["read_dicom"]
