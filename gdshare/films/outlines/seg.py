"""DICOM-SEG: a segmentation image, one frame a segment, as large as the film it is of.

Source: PS3.3, A.51 and C.8.20. Importing this module loads highdicom, which takes a second.
"""

import io
import warnings
import zlib
from collections import defaultdict
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
from gdshare.films.outlines.annotation_set import AnnotationSet, Raster, Shape, Stamp

MAX_BYTES = 128 * 1024**2
"""Of a file, inflated: eight segments of a film at 8 bits, or sixty at one."""

_META = 144
"""Bytes before those that the meta information counts as its own; PS3.10, 7.1."""


@dataclass(frozen=True)
class _Segment:
    """The pixels of one frame between two stored values; decoded only when it is painted."""

    image: Segmentation
    frame: int
    least: int
    most: int

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
        except Exception as error:  # pydicom and highdicom raise what they stumble over
            raise FilmError(
                f"its pixel data is damaged ({_told(error)})", remedy="export it again"
            ) from error


def seg_sheets(path: Path) -> tuple[AnnotationSet, ...]:
    """Read a DICOM-SEG of a single film; a shape's label is its segment's.

    Binary, fractional (a pixel counts from half of the range) and label-map segmentations,
    uncompressed or compressed, deflated too.

    Raises:
        FilmError: not a segmentation, damaged, beyond bounds, or of several images or of tiles;
            the message does not name the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom tells of every element that breaks a form
            return (_sheet(_opened(path)),)
    except FilmError:
        raise
    except Exception as error:  # pydicom and highdicom raise what they stumble over
        raise FilmError(
            f"is not a DICOM-SEG that can be read ({_told(error)})", remedy="export it again"
        ) from error


def _opened(path: Path) -> Segmentation:
    if path.stat().st_size > MAX_BYTES:
        raise FilmError(
            f"is over {MAX_BYTES // 1024**2} MB", remedy="export the film's own segments only"
        )
    meta = read_file_meta_info(path)
    data = path.read_bytes()
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        data = _inflated(data, meta)
    dataset = dcmread(io.BytesIO(data))
    if dataset.get("SOPClassUID") not in SOP_CLASS_UIDS:
        raise FilmError(
            "is DICOM, but not a segmentation",
            remedy="give the DICOM-SEG that was drawn on the film",
        )
    told = int(dataset.get("NumberOfFrames") or 1)
    if told != len(dataset.PerFrameFunctionalGroupsSequence):
        # Before highdicom makes a list of so many.
        raise FilmError(
            f"claims {told:,} frames and does not describe as many", remedy="export it again"
        )
    return Segmentation.from_dataset(dataset, copy=False)


def _inflated(data: bytes, meta: FileMetaDataset) -> bytes:
    """Write a deflated file out in full; pydicom would, and know no bound."""
    begin = _META + int(meta.FileMetaInformationGroupLength)
    content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[begin:], MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FilmError(
            f"is over {MAX_BYTES // 1024**2} MB when inflated", remedy="export it again"
        )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = DicomBytesIO()
    stream.write(bytes(128) + b"DICM")
    write_file_meta_info(stream, meta, enforce_standard=False)
    stream.write(content)
    return stream.getvalue()


def _sheet(image: Segmentation) -> AnnotationSet:
    height, width = int(image.Rows), int(image.Columns)
    if height * width > MAX_PIXELS:
        raise FilmError(
            f"is beyond any film ({MAX_PIXELS:,} px at most)", remedy="check the export"
        )
    if "TotalPixelMatrixRows" in image:
        raise FilmError("is a segmentation in tiles", remedy="export one of the single film")
    label_map = image.segmentation_type == SegmentationTypeValues.LABELMAP
    frames = {} if label_map else _frames(image)
    shapes = []
    for number in image.segment_numbers:
        if label_map:
            areas: tuple[Raster, ...] = (_Segment(image, _only_frame(image), number, number),)
        elif number in frames:
            areas = (_Segment(image, frames[number], *_inside(image)),)
        else:  # a segment that marks nothing need not have a frame
            areas = (Stamp(0, 0, np.zeros((0, 0), dtype=np.bool_)),)
        label = str(image.get_segment_description(number).segment_label)
        shapes.append(Shape(label, "segment", areas))
    return AnnotationSet(None, (height, width), tuple(shapes))


def _inside(image: Segmentation) -> tuple[int, int]:
    """Return the least and the greatest stored value that mean inside."""
    if image.segmentation_type == SegmentationTypeValues.FRACTIONAL:
        most = int(image.MaximumFractionalValue)
        return max(1, (most + 1) // 2), most
    return 1, 1


def _frames(image: Segmentation) -> dict[int, int]:
    """Return each segment's frame, counted from 1."""
    shared = image.SharedFunctionalGroupsSequence[0]
    found: defaultdict[int, list[int]] = defaultdict(list)
    for frame, group in enumerate(image.PerFrameFunctionalGroupsSequence, start=1):
        holder = group if "SegmentIdentificationSequence" in group else shared
        number = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        found[number].append(frame)
    if any(len(frames) > 1 for frames in found.values()):
        raise FilmError(
            "has several frames a segment", remedy="export a segmentation of the single film"
        )
    return {number: frames[0] for number, frames in found.items()}


def _only_frame(image: Segmentation) -> int:
    if image.number_of_frames != 1:
        raise FilmError("has several frames", remedy="export a segmentation of the single film")
    return 1


def _stored(image: Segmentation, frame: int) -> npt.NDArray[np.integer]:
    """Decode one frame: uint [rows, columns]. A compressed one in a process of its own."""
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


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:120].replace("\n", " ")
