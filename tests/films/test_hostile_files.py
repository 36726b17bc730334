"""Damaged and hostile files give a film, a mask or one error, in bounded time and memory.

Ten thousand files, with a table of the results:

    python -m pytest -m slow -s tests/films/test_hostile_files.py
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Thread
from time import monotonic

import numpy as np
import pytest
from bomb_kit import SIDE, bombs
from dicom_kit import CODECS, gradient, radiograph, save
from mutation_kit import mutated
from outline_kit import (
    SHAPE,
    closed,
    coco,
    collection,
    cvat,
    cvat_mask,
    cvat_polygon,
    feature,
    labelme,
    labelme_mask,
    plain_rle,
    rings_mask,
    square,
)
from PIL import Image
from process_kit import environment
from pycocotools import mask as pycoco
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from seg_kit import segmentation

REAL = Path(__file__).parents[3] / "shared" / "data" / "dicom"

SECONDS, MEGABYTES = 90.0, 1500.0
"""Limits: for one file (60 s of them for its compressed frame), and for the peak memory of the
process that reads all files, with its decoder."""

BOX = square(6, 4, 30, 20)
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


@dataclass
class Tally:
    """The outcomes of the variants of one seed file."""

    files: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, number, path, refusal, fault, seconds):
        self.files += 1
        self.refused += refusal is not None
        self.slowest = max(self.slowest, seconds)
        if refusal is not None and not _is_an_error_text(refusal, path):
            fault = f"refused with {refusal[:200]!r}"
        elif seconds > SECONDS:
            fault = fault or f"took {seconds:.0f} s"
        if fault:
            path = path.rename(path.with_name(f"fault-{path.name}-{number}"))
            self.faults.append(f"{path}: {fault}")


def radiographs(folder):
    """One film in each encoding, with elements of every kind that the reader uses."""
    for syntax in (*PLAIN, *CODECS):
        film = radiograph(gradient())
        if syntax == JPEGBaseline8Bit:
            film = radiograph(gradient(8).astype(np.uint8), bits=8)
        elif syntax == ExplicitVRLittleEndian:
            film.VOILUTSequence, film.NumberOfFrames = [_lut()], 1
        elif syntax == ImplicitVRLittleEndian:
            film.RescaleSlope, film.RescaleIntercept, film.RescaleType = 2, -5, "US"
            film.BurnedInAnnotation = "NO"
        yield "dicom", save(film, folder / f"{syntax.keyword}.dcm", syntax)


def _lut():
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "US", list(range(0, 65536, 16)))
    return item


def rasters(folder):
    ramp = np.arange(48 * 64).reshape(48, 64)
    for name, pixels in {
        "8.png": (ramp % 256).astype(np.uint8),
        "16.png": (ramp * 20).astype(np.uint16),
        "16.tif": (ramp * 20).astype(np.uint16),
    }.items():
        Image.fromarray(pixels).save(folder / name)
        yield "raster", folder / name
    Image.fromarray((ramp % 256).astype(np.uint8)).save(folder / "lzw.tif", compression="tiff_lzw")
    yield "raster", folder / "lzw.tif"


def annotations(folder):
    mask = rings_mask()
    compact = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    texts = {
        "labelme.json": labelme({"points": BOX}, labelme_mask(mask)),
        "coco.json": coco(
            [[6, 4, 30, 4, 30, 20]],
            plain_rle(mask),
            {**compact, "counts": compact["counts"].decode("ascii")},
        ),
        "qupath.geojson": collection(
            feature("MultiPolygon", [[closed(BOX)]]), feature("Point", [1, 2], "mark")
        ),
    }
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    (folder / "cvat.xml").write_text(cvat(cvat_polygon(BOX), cvat_mask(mask)), encoding="utf-8")
    Image.fromarray(mask).save(folder / "mask.png")
    planes = np.stack([mask, ~mask], axis=2).astype(np.uint8)
    labels = ("stomach", "liver")
    segmentation(folder / "seg.dcm", planes, labels=labels)
    segmentation(
        folder / "seg-runs.dcm",
        planes.astype(float),
        kind="FRACTIONAL",
        labels=labels,
        max_fractional_value=200,
        transfer_syntax_uid=RLELossless,
    )
    deflated = dcmread(folder / "seg.dcm")
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated.save_as(folder / "seg-deflated.dcm")
    for path in (*(folder / name for name in texts), folder / "cvat.xml", folder / "mask.png"):
        yield "outline", path
    for path in sorted(folder.glob("seg*.dcm")):
        yield "outline", path


def pydicoms():
    """Small films that come with pydicom."""
    for number, name in enumerate(("6154", "6247", "6278"), start=1):
        path = get_testdata_file(f"dicomdirtests/77654033/CR{number}/{name}", download=False)
        if path:
            yield "dicom", Path(path)


def real():
    return [("dicom", path) for path in sorted(REAL.glob("*.dcm"))] if REAL.is_dir() else []


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Valid files of all forms: form, name and content."""
    folder = tmp_path_factory.mktemp("seeds")
    files = [*radiographs(folder), *rasters(folder), *annotations(folder), *pydicoms()]
    return [(form, path.name, path.read_bytes()) for form, path in files]


class Reader:
    """The process that reads the files; restarted if a file ends it."""

    def __init__(self, folder):
        self.folder, self.peak, self.process = folder, 0.0, None

    def read(self, form, path, shape=SHAPE):
        """(refusal or None, fault or None, seconds)."""
        if self.process is None:
            self._start()
        start = monotonic()
        request = json.dumps({"form": form, "path": str(path), "shape": shape}) + "\n"
        self.process.stdin.write(request)
        self.process.stdin.flush()
        try:
            answer = self.lines.get(timeout=SECONDS + 30)
        except Empty:
            answer = None
            self.process.kill()
        seconds = monotonic() - start
        if answer is None:
            self.process.wait()
            why = f"no answer within {seconds:.0f} s; ended with {self.process.returncode}"
            self.process = None
            return None, why, seconds
        return answer["refusal"], answer["fault"], seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.stdin.close()
            last = self.lines.get(timeout=60)
            self.peak = max(self.peak, last["peak_mb"])
            self.process.wait()

    def _start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hostile_reader", str(self.folder)],
            env=environment(PYTHONFAULTHANDLER="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines = Queue()
        Thread(target=self._listen, args=(self.process.stdout, self.lines), daemon=True).start()

    @staticmethod
    def _listen(stream, lines):
        with stream:
            for line in stream:
                lines.put(json.loads(line))
        lines.put(None)


@pytest.fixture(autouse=True)
def silence(caplog):
    """Silence pydicom, which warns about every odd value; pytest would keep it all in memory."""
    caplog.set_level("CRITICAL", "pydicom")


def trial(seeds, variants, folder):
    """Read this many variants of every seed file; return tallies by name, and the peak in MB."""
    tallies = {name: Tally() for _, name, _ in seeds}
    with Reader(folder) as reader:
        for form, name, content in seeds:
            path = folder / name
            kin = [
                other
                for other_form, other_name, other in seeds
                if other_form == form and other_name != name
            ]
            for number in range(variants):
                path.write_bytes(mutated(content, kin, Random(f"{name} {number}")))
                tallies[name].add(number, path, *reader.read(form, path))
    return tallies, reader.peak


def _is_an_error_text(refusal, path):
    return refusal.startswith(f"{path}: ") and len(refusal) < len(str(path)) + 1000


def table(tallies, peak):
    rows = [
        f"{name[:40]:42}{tally.files:6}{tally.files - tally.refused:6}{tally.refused:8}"
        f"{tally.slowest:9.2f}"
        for name, tally in tallies.items()
    ]
    total = Counter()
    for tally in tallies.values():
        total.update(files=tally.files, refused=tally.refused, faults=len(tally.faults))
    head = f"{'variants of':42}{'files':>6}{'read':>6}{'refused':>8}{'slowest s':>10}"
    end = f"{total['files']} files, {total['faults']} faults, peak {peak:.0f} MB"
    return "\n".join([head, *rows, end])


def require_no_faults(tallies, peak):
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    assert not faults, "\n".join(faults[:20])
    assert peak < MEGABYTES


def test_every_valid_file_is_read(seeds, tmp_path):
    path = tmp_path / "valid"
    with Reader(tmp_path) as reader:
        for form, name, content in seeds:
            path.write_bytes(content)
            assert reader.read(form, path)[:2] == (None, None), name


def test_damaged_files_are_read_or_refused_and_nothing_else(seeds, tmp_path):
    tallies, peak = trial(seeds, 12, tmp_path)
    require_no_faults(tallies, peak)
    assert sum(tally.refused for tally in tallies.values()) > 100  # the damage has an effect


def test_bombs_are_refused_or_read_within_the_same_bounds(tmp_path):
    tallies = {}
    with Reader(tmp_path) as reader:
        for number, (form, path) in enumerate(bombs(tmp_path)):
            tallies[path.name] = Tally()
            tallies[path.name].add(number, path, *reader.read(form, path, (SIDE, SIDE)))
    require_no_faults(tallies, reader.peak)
    assert {name for name, tally in tallies.items() if not tally.refused} == {"large.png"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files_are_read_or_refused_and_nothing_else(seeds, tmp_path, capsys):
    films = [(form, path.name, path.read_bytes()) for form, path in real()]
    tallies, peak = trial(films, 50, tmp_path)
    left = 10_000 - sum(tally.files for tally in tallies.values())
    more, peak_of_small = trial(seeds, -(-left // len(seeds)), tmp_path)
    with capsys.disabled():
        sys.stdout.write("\n" + table(tallies | more, max(peak, peak_of_small)) + "\n")
    require_no_faults(tallies | more, max(peak, peak_of_small))
