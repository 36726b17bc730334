"""Radiographs in DICOM, in every encoding, for tests that need real files."""

import os
from pathlib import Path

import gdcm
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

CODECS = {
    RLELossless: gdcm.TransferSyntax.RLELossless,
    JPEGBaseline8Bit: gdcm.TransferSyntax.JPEGBaselineProcess1,
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    JPEG2000: gdcm.TransferSyntax.JPEG2000,
}
LOSSY = (JPEGBaseline8Bit, JPEG2000)
NAME = "Doe^Jane"


def gradient(bits: int = 12, rows: int = 48, columns: int = 40) -> npt.NDArray[np.uint16]:
    """A ramp over the full range of the bits, smooth enough for any codec."""
    ramp = np.linspace(0, (1 << bits) - 1, rows * columns).reshape(rows, columns)
    return np.rint(ramp).astype(np.uint16)


def radiograph(pixels: npt.NDArray[np.integer], bits: int = 12, **elements: object) -> Dataset:
    """An uncompressed CR image; ``elements`` replace those of its header, None removes one."""
    allocated = pixels.dtype.itemsize * 8
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = NAME, "4711"
    dataset.PatientBirthDate, dataset.StudyDate = "19501231", "20240102"
    dataset.Modality = "CR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelSpacing = [0.15, 0.15]
    dataset.WindowCenter, dataset.WindowWidth = 1 << (bits - 1), 1 << bits
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def save(dataset: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set in a transfer syntax; another library than the reader's compresses it."""
    if syntax in CODECS:
        plain = path.with_suffix(".plain")
        save(dataset, plain)
        compress(plain, path, syntax)
        plain.unlink()
        return path
    return write(dataset, path, syntax)


def write(dataset: Dataset, path: Path, syntax: str) -> Path:
    """Write a data set whose pixel data are in this transfer syntax already."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.preamble = bytes(128)
    dataset.save_as(path)
    return path


def _in_utf_8(path: Path) -> str:
    """The name that gdcm, which encodes names in UTF-8, turns into the path's own bytes."""
    return os.fsencode(path).decode()


def compress(plain: Path, path: Path, syntax: str) -> None:
    """Change a file's transfer syntax."""
    reader = gdcm.ImageReader()
    reader.SetFileName(_in_utf_8(plain))
    if not reader.Read():
        raise RuntimeError(f"gdcm does not read {plain}")
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(CODECS[syntax]))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError(f"gdcm does not write {syntax}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(_in_utf_8(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError(f"gdcm does not write {path}")
