"""Films in DICOM whose pixel data says something of its own, from encoders that others wrote."""

import io
from pathlib import Path

import jpeg_ls
import numpy as np
import numpy.typing as npt
from dicom_kit import radiograph, save, write
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame

Pixels = npt.NDArray[np.integer]
LOSSLESS_FRAME = b"\xff\xc3"


def encapsulated(dataset: Dataset, path: Path, syntax: str, *fragments: bytes) -> Path:
    """Write a data set whose pixel data are these fragments; one frame, unless it says more."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    even = [part + bytes(len(part) % 2) for part in fragments]
    whole = encapsulate(even, has_bot=frames > 1)
    dataset.PixelData = whole
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write(dataset, path, syntax)


def jpeg(pixels: Pixels, **options: object) -> bytes:
    """JPEG baseline, 8 bits; three components if the pixels have three."""
    return _pillow(pixels, "JPEG", quality=100, **options)


def jpeg_2000(pixels: Pixels, **options: object) -> bytes:
    """JPEG 2000, lossless unless ``irreversible``; without a JP2 file around it."""
    return _pillow(pixels, "JPEG2000", **{"no_jp2": True, **options})


def jpeg_lossless(pixels: Pixels, precision: int, folder: Path, syntax: str) -> bytes:
    """JPEG lossless; gdcm writes 8 or 16 bits, so others are made by an offset.

    Every sample is predicted from another, the first from half of the range: with another
    precision in its header the codestream gives the same samples with another offset.
    """
    if precision == 8:
        return frame_of(pixels.astype(np.uint8), 8, folder, syntax)
    offset = (1 << 15) - (1 << (precision - 1))
    coded = bytearray(frame_of((pixels + offset).astype(np.uint16), 16, folder, syntax))
    coded[coded.find(LOSSLESS_FRAME) + 4] = precision
    return bytes(coded)


def jpeg_ls_of(pixels: Pixels) -> bytes:
    """JPEG-LS, lossless, of as few bits as the values need."""
    return bytes(jpeg_ls.encode_array(pixels))


def frame_of(pixels: Pixels, bits: int, folder: Path, syntax: str) -> bytes:
    """One frame as gdcm compresses it."""
    path = save(radiograph(pixels, bits), folder / "frame.dcm", syntax)
    return get_frame(dcmread(path).PixelData, 0)


def rle(pixels: Pixels) -> bytes:
    """RLE with a segment for each byte of a pixel, the most significant first, in literal runs."""
    planes = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"))).view(np.uint8)
    segments = [_literal(plane.tobytes()) for plane in planes.reshape(-1, pixels.itemsize).T]
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    head = np.zeros(16, "<u4")
    head[0], head[1 : 1 + len(starts)] = len(starts), starts
    return head.tobytes() + b"".join(segments)


def _literal(data: bytes) -> bytes:
    runs = [data[start : start + 128] for start in range(0, len(data), 128)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return packed + b"\x80" * (len(packed) % 2)


def _pillow(pixels: Pixels, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()
