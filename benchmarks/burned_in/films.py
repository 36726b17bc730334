"""The films that are written on: real chest X-rays and phantom stomachs, by hospital."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.burned_in.writing import Pixels
from gdshare.films import read_film, read_mask
from gdshare.films.phantom import phantom_film, phantom_patient, site_look
from gdshare.films.phantom.exposure import mark_box
from gdshare.seeding import numpy_generator

GRAIN = 0.015
"""Deviation of the noise put on enlarged films, in parts of the range: enlarging smooths them."""
_AROUND_MARK = 1 / 40  # of a phantom's side: boxes may stand out over the word that much


@dataclass(frozen=True)
class Hospitals:
    """Where films come from: folders of tb_cxr, and the number of a phantom hospital."""

    real: tuple[str, ...]
    phantom: int


HOSPITALS = {
    "chosen": Hospitals(("montgomery",), 0),
    "reported": Hospitals(("shenzhen-a", "shenzhen-b"), 1),
}


@dataclass(frozen=True)
class Film:
    """A chest X-ray or phantom before anything is written on it, and where surely no text is.

    That is inside the lungs of a chest X-ray, whose markers lie outside them, and everywhere on a
    phantom but near its word SYNTHETIC.
    """

    name: str
    kind: str
    pixels: Pixels
    bare: npt.NDArray[np.bool_]


def films(hospitals: Hospitals, data: Path, count: int, sides: Sequence[int]) -> Iterator[Film]:
    """Real films and phantoms by turns, of every side; without real ones all are phantoms."""
    folders = [data / "tb_cxr" / name / "images" for name in hospitals.real]
    real = [file for folder in folders for file in sorted(folder.glob("*.png"))]
    order = numpy_generator(0, "burned-in-films", hospitals.phantom).permutation(len(real))
    for number in range(count):
        turn, is_phantom = divmod(number, 2)
        side = sides[turn % len(sides)]
        if is_phantom or not real:
            yield phantom(hospitals.phantom, number, side)
        else:
            yield chest(real[order[turn % len(real)]], side)


def phantom(site: int, number: int, side: int) -> Film:
    """A phantom stomach drawn at its size."""
    patient = phantom_patient(site, 0, number)
    pixels, _ = phantom_film(patient, number % 4 > 1, 0, side, site_look(site))
    bare = np.ones(pixels.shape, np.bool_)
    margin = round(side * _AROUND_MARK)
    bare[*(slice(max(0, s.start - margin), s.stop + margin) for s in mark_box(side))] = False
    return Film(f"phantom-{site}-{number}", "phantom", pixels, bare)


def chest(file: Path, side: int) -> Film:
    """A chest X-ray of tb_cxr, enlarged from 512 px, with the noise that a film of its size has."""
    film = read_film(file)
    lungs = read_mask(file.parent.parent / "masks" / file.name, film.shape)
    pixels = np.asarray(film.pixels, np.uint8)
    if side != max(film.shape):
        size = (side, side)
        smooth = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), float)
        generator = numpy_generator(side, f"burned-in-grain/{file.stem}")
        grainy = smooth + generator.normal(0, 255 * GRAIN, smooth.shape)
        pixels = np.clip(np.rint(grainy), 0, 255).astype(np.uint8)
        lungs = np.asarray(Image.fromarray(lungs).resize(size, Image.Resampling.NEAREST))
    return Film(file.stem, "chest", pixels, lungs)
