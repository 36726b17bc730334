"""Radiographs in DICOM files, as a PACS exports them.

``header`` reads and checks the few elements that decide a film's pixels (with ``spacing``).
``stored`` decodes one frame; compressed frames are decoded in a separate process (``decoder``,
``codec``). ``presentation`` turns stored values into what a radiologist sees on the screen.
``film`` joins the three.
"""

from gdshare.films.dicom.film import read_dicom

__all__ = ["read_dicom"]
