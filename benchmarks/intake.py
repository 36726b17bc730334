"""How fast films are imported, beside decoding them alone, and whether memory stays flat.

    python -m benchmarks.intake [--films 300] [--side 2048] [--quick] [--json FILE]

Films of noise over a slope, 12 bits, are written once in each encoding and copied under new
identifiers; then the same files are decoded alone (read, decoded, shown by their window), and then
imported. Films a second of the wall, since decoding has a process of its own.
"""

import itertools
import sys
import tempfile
import time
from base64 import b32encode
from pathlib import Path

import gdcm
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from benchmarks.command import parser, peak_mb, write_figures
from gdshare.films.dicom import read_dicom
from gdshare.films.dicom.decoder import decoder
from gdshare.store import Identities, Intake, import_films, make_store

NAME = "benchmarks.intake"

ENCODINGS = {
    "uncompressed": None,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}
BITS = 12
TARGET = 0.5


def measure(encoding: str, films: int, side: int) -> dict[str, float]:
    """Speeds in films a second, and peak memory, MB, after a quarter of the films and after all."""
    with tempfile.TemporaryDirectory() as name, decoder() as decode:
        paths = _write_films(Path(name), encoding, films, side)
        read_dicom(paths[0], decode=decode)  # starts the decoder's process, and imports
        began = time.perf_counter()
        for path in paths:
            read_dicom(path, decode=decode)
        decoding = time.perf_counter() - began
        pseudonyms = (b32encode(n.to_bytes(10, "big")).decode().lower() for n in itertools.count())
        identities = Identities(Path(name) / "who.csv", lambda: next(pseudonyms))
        intake = Intake(make_store(Path(name) / "store"), identities, decode)
        early = 0.0
        began = time.perf_counter()
        for done, outcome in enumerate(import_films(paths, intake), start=1):
            if outcome.film is None:
                sys.exit(f"{outcome.path}: {outcome.kind} {outcome.reason}")
            if done == max(1, films // 4):
                early = peak_mb()
        importing = time.perf_counter() - began
    rates = {"decoding": films / decoding, "importing": films / importing}
    return rates | {"ratio": decoding / importing, "early": early, "late": peak_mb()}


def _write_films(folder: Path, encoding: str, films: int, side: int) -> list[Path]:
    """Films that differ in their identifiers only."""
    generator = np.random.default_rng(0)
    slope = np.linspace(500, 3000, side)[None, :] + np.linspace(0, 500, side)[:, None]
    pixels = (slope + generator.normal(0, 8, (side, side))).clip(0, (1 << BITS) - 1)
    first, dataset = folder / "first.dcm", Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.PatientID = "CR", "0"
    dataset.WindowCenter, dataset.WindowWidth = 1 << (BITS - 1), 1 << BITS
    wide = pixels.astype(np.uint16)
    dataset.set_pixel_data(wide, "MONOCHROME1", BITS, generate_instance_uid=False)
    dataset.save_as(first, enforce_file_format=True)
    _compress(first, encoding)
    dataset = dcmread(first)
    paths = [folder / f"{number:05d}.dcm" for number in range(films)]
    for number, path in enumerate(paths):
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = str(number // 2)
        dataset.save_as(path)
    return paths


def _compress(path: Path, encoding: str) -> None:
    syntax = ENCODINGS[encoding]
    if syntax is None:
        return
    reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    read = reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    changed = read and change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not (changed and writer.Write()):
        sys.exit(f"gdcm does not write {encoding}")


def main() -> None:
    command = parser(NAME, __doc__, "20 films of 1024 px")
    command.add_argument("--films", type=int, default=300, help="in each encoding (default 300)")
    command.add_argument("--side", type=int, default=2048, help="px (default 2048)")
    chosen = command.parse_args()
    films, side = (20, 1024) if chosen.quick else (chosen.films, chosen.side)
    lines = []
    print(f"{'encoding':14}{'films':>6}{'decoding':>10}{'importing':>11}{'ratio':>7}{'memory':>16}")
    for encoding in ENCODINGS:
        own = measure(encoding, films, side)
        lines.append({"encoding": encoding, "films": films, **own})
        speeds = f"{own['decoding']:8.1f}/s{own['importing']:9.1f}/s{own['ratio']:7.2f}"
        memory = f"{own['early']:7.0f} to {own['late']:.0f} MB"
        print(f"{encoding:14}{films:6}{speeds}{memory}", flush=True)
    print(f"wanted: a ratio of {TARGET} or more, and memory flat")
    write_figures(chosen.json, NAME, {"side": side, "encodings": lines})


if __name__ == "__main__":
    main()
