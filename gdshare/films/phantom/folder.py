"""The folder of a phantom hospital: films, masks and a table for ``gdshare label``."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gdshare.errors import CohortError, UsageError
from gdshare.films.phantom.exposure import MARK, site_look
from gdshare.films.phantom.fields import Stream, stream
from gdshare.films.phantom.film import phantom_film, require_size
from gdshare.storage import new_folder, write_bytes

COLUMNS = ("patient", "image", "mask", "diagnosis")
NOTE = f"{MARK}: made by gdshare's phantom generator; no patient, no X-ray, no clinical meaning"

_README = """\
{mark} FILMS - NOT PATIENTS

Every film in this folder was drawn by a program (`gdshare phantom`). No patient was X-rayed, no
real film was used, and a diagnosis here only says how thick and winding the program drew the
folds. They are for trying out and testing gdshare. Never use them to judge a method's clinical
worth, and never mix them with real films.

Phantom hospital {site}, seed {seed}: {negatives} negative and {positives} positive films of
{size} x {size} px. The same command makes the same folder again:

    gdshare phantom --out DIR --negatives {negatives} --positives {positives} --size {size} \
--site {site} --seed {seed}

images/     gray-scale PNG, 8 bit; the word {mark} is in the corner and in the file's text
masks/      PNG, white inside the stomach
labels.csv  patient, image, mask, diagnosis; read it with `gdshare label`
"""


def write_phantom_cohort(
    folder: Path,
    *,
    site: int = 0,
    negatives: int = 20,
    positives: int = 20,
    size: int = 512,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a phantom hospital's films, one per patient, with one film in memory at a time.

    Args:
        folder: must not exist yet, or be empty; it appears complete or not at all.
        site: number of the hospital, at least 0; decides the films' look and the patients.
        negatives: number of patients without gastritis.
        positives: number of patients with gastritis. Names and order do not reveal the diagnosis.
        size: side of a film, px.
        seed: at least 0; another seed gives other patients.
        progress: called with (films written, films in all).

    Returns:
        the path of ``labels.csv``.

    Raises:
        UsageError: a number is out of range.
        CohortError: the folder is not empty.
    """
    if min(site, seed, negatives, positives) < 0 or negatives + positives == 0:
        raise UsageError(
            f"a phantom hospital with site {site}, seed {seed}, {negatives} negative "
            f"and {positives} positive films cannot be made",
            remedy="give at least one film and no number below 0",
        )
    require_size(size)
    readme = _README.format(
        mark=MARK, site=site, seed=seed, negatives=negatives, positives=positives, size=size
    )
    diagnoses = _diagnoses(site, seed, negatives, positives)
    try:
        with new_folder(folder) as aside:
            _write_films(aside, site, diagnoses, size, seed, progress)
            write_bytes(aside / "README.txt", readme.encode())
    except FileExistsError as error:
        raise CohortError(
            "already exists", folder, "choose another --out, or remove it first"
        ) from error
    return folder / "labels.csv"


def phantom_patient(site: int, seed: int, number: int) -> int:
    """The patient of ``phantom_film`` who is patient ``number`` of a phantom hospital."""
    return int(stream(Stream.PATIENT, site, seed, number).integers(2**62))


def _diagnoses(site: int, seed: int, negatives: int, positives: int) -> list[bool]:
    """Shuffle the diagnoses, so that a patient's number does not reveal them."""
    positive = np.arange(negatives + positives) >= negatives
    return [bool(value) for value in stream(Stream.PATIENT, site, seed).permutation(positive)]


def _write_films(
    folder: Path,
    site: int,
    diagnoses: list[bool],
    size: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, positive in enumerate(diagnoses):
        name = f"PHANTOM-{site}-{number + 1:04d}"
        image, mask = f"images/{name}.png", f"masks/{name}.png"
        patient = phantom_patient(site, seed, number)
        pixels, inside = phantom_film(patient, positive, seed, size, site_look(site))
        write_bytes(folder / image, _png(pixels))
        write_bytes(folder / mask, _png(inside * np.uint8(255)))
        writer.writerow((name, image, mask, "positive" if positive else "negative"))
        progress(number + 1, len(diagnoses))
    write_bytes(folder / "labels.csv", table.getvalue().encode())


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode a gray PNG with text chunks that say that it is synthetic."""
    text = PngInfo()
    text.add_text("Title", MARK)
    text.add_text("Comment", NOTE)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=text)
    return encoded.getvalue()
