"""A film's picture of votes as a DICOM secondary capture, for the archive that the film came from.

Source: PS3.3, A.8.1 (Secondary Capture Image). Importing this module loads highdicom, which takes a
second.
"""

import io
from datetime import datetime
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
from highdicom.sc import SCImage
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from gdshare.errors import FilmError
from gdshare.films.dicom.elements import text_of
from gdshare.films.dicom.header import read_dataset, tags
from gdshare.report.vote_files import VoteRecord

COPIED = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientOrientation",
    "BurnedInAnnotation",
)
"""Of the film's header: whom and what it shows."""
DESCRIPTION = "gdshare votes, research only"
SERIES = 9301
"""Of the captures of a study; the standard asks for a number, and devices do not count so far."""
UNKNOWN = ("L", "F")
"""What highdicom is given where the film's orientation is not known; it is taken out again."""


def capture(film: Path, picture: Image.Image, record: VoteRecord, now: datetime) -> bytes:
    """Make a DICOM file that belongs to the film's patient and study, marked as research.

    Args:
        film: a DICOM file.
        picture: RGB, of ``draw_map``.
        record: what the picture shows. Equal ones get equal UIDs, so that an archive which has one
            keeps one.
        now: when it was made.

    Returns:
        the file's content.

    Raises:
        FilmError: the film cannot be read, or its header says too little, or what DICOM does not
            allow.
    """
    header = read_dataset(film, tags(COPIED))
    orientation = tuple(header.get("PatientOrientation") or ())
    shows = [text_of(header, "SOPInstanceUID"), record.model_dump_json()]
    try:
        with catch_warnings():
            simplefilter("ignore")  # they quote names
            image = SCImage.from_ref_dataset(
                header,
                np.asarray(picture),
                "RGB",
                8,
                "PATIENT",
                generate_uid(entropy_srcs=[header.StudyInstanceUID, DESCRIPTION]),
                SERIES,
                generate_uid(entropy_srcs=shows),
                1,
                "gdshare",
                patient_orientation=orientation if len(orientation) == 2 else UNKNOWN,
                transfer_syntax_uid=ExplicitVRLittleEndian,
                content_date=now.date(),
                content_time=now.time(),
                content_qualification="RESEARCH",
                series_description=DESCRIPTION,
            )
            if len(orientation) != 2:
                image["PatientOrientation"].value = None
            if "BurnedInAnnotation" in header:
                image.BurnedInAnnotation = header.BurnedInAnnotation
            source = Dataset()
            source.ReferencedSOPClassUID = header.SOPClassUID
            source.ReferencedSOPInstanceUID = header.SOPInstanceUID
            image.SourceImageSequence = [source]
            stream = io.BytesIO()
            image.save_as(stream)
    except Exception as error:  # pydicom and highdicom raise many classes, and quote the header
        raise FilmError(
            f"its header makes no secondary capture ({type(error).__name__})",
            film,
            "take the PNG beside it",
        ) from None
    return stream.getvalue()
