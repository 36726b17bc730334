"""DICOM-SEG: a segmentation image of the film's size with one frame per segment.

Source: PS3.3, A.51 and C.8.20. Importing this module loads highdicom, which takes a second.
"""

import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from highdicom.seg import SOP_CLASS_UIDS, Segmentation, SegmentationTypeValues
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from gdshare.errors import FilmError
from gdshare.films.bounds import MAX_PIXELS
from gdshare.films.dicom.decoder import decode_apart
from gdshare.films.dicom.stored import Frame
from gdshare.films.outlines.annotation_set import AnnotationSet, PlacedMask, Raster, Shape
from gdshare.films.quote import brief, printable

MAX_BYTES = 128 * 1024**2
"""Of an inflated file: eight segments of a film at 8 bits, or sixty at 1 bit."""

_ONE_FILM = "export a segmentation of the single film"
_META_START = 144
"""Offset from which the group length of the file meta information counts; PS3.10, 7.1."""


@dataclass(frozen=True)
class _Segment:
    """The pixels of a frame with stored values from ``least`` to ``most``; decoded when painted."""

    image: Segmentation
    frame: int
    least: int
    most: int
    place: str

    @property
    def area(self) -> int:
        """See ``Raster``."""
        return int(self.image.Rows) * int(self.image.Columns)

    def paint(self, mask: npt.NDArray[np.bool_]) -> None:
        """See ``Raster``."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                stored = _stored(self.image, self.frame)
            mask |= (stored >= self.least) & (stored <= self.most)
        except FilmError:
            raise
        except Exception as error:  # pydicom and highdicom raise exceptions of many classes
            raise FilmError(
                f"its pixel data is damaged ({brief(error)})", self.place, "export it again"
            ) from error


def read_seg(path: Path) -> tuple[AnnotationSet, ...]:
    """Read a DICOM-SEG of a single film; a shape's label is its segment's label.

    Binary, fractional (inside from half of the range on) and label-map segmentations are read,
    uncompressed, compressed or deflated.

    Raises:
        FilmError: not a segmentation, damaged, too large, in tiles, or of several images; the error
            names no file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about every element that violates it
            return (_annotation_set(_open(path)),)
    except FilmError:
        raise
    except Exception as error:  # pydicom and highdicom raise exceptions of many classes
        raise FilmError(
            f"is not a readable DICOM-SEG ({brief(error)})", remedy="export it again"
        ) from error


def _open(path: Path) -> Segmentation:
    if path.stat().st_size > MAX_BYTES:
        raise FilmError(
            f"is larger than {MAX_BYTES // 1024**2} MB",
            remedy="export only the segments of this film",
        )
    meta = read_file_meta_info(path)
    data = path.read_bytes()
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        data = _inflate(data, meta)
    dataset = dcmread(io.BytesIO(data))
    if dataset.get("SOPClassUID") not in SOP_CLASS_UIDS:
        raise FilmError(
            "is DICOM, but not a segmentation",
            remedy="give the DICOM-SEG of the film",
        )
    # Checked before highdicom allocates a list of as many frames as the header claims.
    frames = int(dataset.get("NumberOfFrames") or 1)
    described = len(dataset.PerFrameFunctionalGroupsSequence)
    if frames != described:
        raise FilmError(
            f"claims {frames:,} frames but describes {described:,}", remedy="export it again"
        )
    return Segmentation.from_dataset(dataset, copy=False)


def _inflate(data: bytes, meta: FileMetaDataset) -> bytes:
    """Turn a deflated file into an uncompressed one; pydicom would inflate without a limit."""
    start = _META_START + int(meta.FileMetaInformationGroupLength)
    content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FilmError(
            f"is larger than {MAX_BYTES // 1024**2} MB when inflated", remedy="export it again"
        )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = DicomBytesIO()
    stream.write(bytes(128) + b"DICM")
    write_file_meta_info(stream, meta, enforce_standard=False)
    stream.write(content)
    return stream.getvalue()


def _annotation_set(image: Segmentation) -> AnnotationSet:
    height, width = int(image.Rows), int(image.Columns)
    if height * width > MAX_PIXELS:
        raise FilmError(
            f"is larger than any film ({MAX_PIXELS:,} px at most)", remedy="check the export"
        )
    if "TotalPixelMatrixRows" in image:
        raise FilmError("is a segmentation in tiles", remedy=_ONE_FILM)
    label_map = image.segmentation_type == SegmentationTypeValues.LABELMAP
    frames = {} if label_map else _frames(image)
    shapes = []
    for number in image.segment_numbers:
        label = str(image.get_segment_description(number).segment_label)
        place = f"segment {number} ({printable(label)})"
        if label_map:
            frame = _only_frame(image)
            areas: tuple[Raster, ...] = (_Segment(image, frame, number, number, place),)
        elif number in frames:
            areas = (_Segment(image, frames[number], *_inside_range(image), place),)
        else:  # an empty segment may have no frame
            areas = (PlacedMask(0, 0, np.zeros((0, 0), dtype=np.bool_)),)
        shapes.append(Shape(label, "segment", areas))
    return AnnotationSet(None, (height, width), tuple(shapes))


def _inside_range(image: Segmentation) -> tuple[int, int]:
    """The smallest and the largest stored value that mean inside."""
    if image.segmentation_type == SegmentationTypeValues.FRACTIONAL:
        most = int(image.MaximumFractionalValue)
        return max(1, (most + 1) // 2), most
    return 1, 1


def _frames(image: Segmentation) -> dict[int, int]:
    """The frame number of each segment, from 1."""
    shared = image.SharedFunctionalGroupsSequence[0]
    frames: dict[int, int] = {}
    for frame, group in enumerate(image.PerFrameFunctionalGroupsSequence, start=1):
        identified = group if "SegmentIdentificationSequence" in group else shared
        number = int(identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if number in frames:
            raise FilmError("has several frames per segment", remedy=_ONE_FILM)
        frames[number] = frame
    return frames


def _only_frame(image: Segmentation) -> int:
    if image.number_of_frames != 1:
        raise FilmError("has several frames", remedy=_ONE_FILM)
    return 1


def _stored(image: Segmentation, frame: int) -> npt.NDArray[np.integer]:
    """Decode one frame: uint [rows, columns]. Compressed frames are decoded in another process."""
    encoding = UID(image.file_meta.TransferSyntaxUID)
    if not encoding.is_compressed:
        return np.asarray(image.get_stored_frame(frame))
    return decode_apart(
        Frame(
            encoding=str(encoding),
            rows=int(image.Rows),
            columns=int(image.Columns),
            allocated=int(image.BitsAllocated),
            stored=int(image.BitsStored),
            signed=False,
            content=image.get_raw_frame(frame),
        )
    )
