"""Reading one film from a DICOM file."""

from pathlib import Path
from warnings import catch_warnings, simplefilter

from gdshare.errors import FilmError
from gdshare.films.dicom.decoder import decode_apart
from gdshare.films.dicom.header import header_of, read_dataset
from gdshare.films.dicom.presentation import present
from gdshare.films.dicom.stored import Decode, stored_values
from gdshare.films.value import Film


def read_dicom(path: Path, frame: int | None = None, decode: Decode = decode_apart) -> Film:
    """Read a CR, DX, RF or secondary capture film as a radiologist sees it.

    Modality and VOI transforms are applied; MONOCHROME1 is inverted, so that larger is brighter.

    Args:
        path: uncompressed, RLE, JPEG baseline, JPEG lossless, JPEG-LS or JPEG 2000, 2 to 16 bits.
        frame: frame number from 1; None if the file has a single frame.
        decode: decodes a compressed frame.

    Returns:
        the film, uint16 [rows, columns], with its pixel spacing if the header states it.

    Raises:
        FilmError: the file is missing, damaged, not such a film, or has several frames and
            ``frame`` is None.
    """
    with catch_warnings():
        simplefilter("ignore")  # pydicom warns about every element that violates the standard
        dataset = read_dataset(path)
        header = header_of(dataset, path)
        if frame is None and header.frames > 1:
            raise FilmError(f"has {header.frames} frames", path, "give the film's number, from 1")
        stored = stored_values(dataset, header, path, frame or 1, decode)
        return Film(present(stored, dataset, header, path), str(path), header.spacing)
