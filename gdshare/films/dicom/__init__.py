"""Films as a PACS hands them out: radiographs in DICOM files.

``header`` reads the few values that decide a film's pixels and checks them, ``stored`` decodes one
frame, what is compressed in a process of its own (``decoder``, ``codec``), ``presentation`` turns
stored values into what a radiologist sees on the screen, ``film`` puts the three together.
"""

from gdshare.films.dicom.film import read_dicom

__all__ = ["read_dicom"]
