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

    Modality and VOI transforms are applied, and MONOCHROME1 is inverted: bright is bright.

    Args:
        path: uncompressed, RLE, JPEG baseline, JPEG lossless, JPEG-LS or JPEG 2000, 2 to 16 bits.
        frame: counted from 1; None is the only one.
        decode: what decodes a compressed frame.

    Returns:
        the film, uint16, with the size of its pixels where the header tells it.

    Raises:
        FilmError: it says what is wrong with this file, and what to do.
    """
    with catch_warnings():
        simplefilter("ignore")  # pydicom tells of every element that breaks a rule of form
        dataset = read_dataset(path)
        header = header_of(dataset, path)
        if frame is None and header.frames > 1:
            raise FilmError(f"holds {header.frames} frames", path, "say which is the film, from 1")
        stored = stored_values(dataset, header, path, frame or 1, decode)
        return Film(present(stored, dataset, header, path), str(path), header.spacing)
