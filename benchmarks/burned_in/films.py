"""The films that are written on, and writing a line into their pixels as a workstation would."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gdshare.films import read_film, read_mask
from gdshare.films.box import Box
from gdshare.films.phantom import phantom_film, phantom_patient, site_look
from gdshare.films.phantom.exposure import mark_box
from gdshare.seeding import numpy_generator

Pixels = npt.NDArray[np.uint8]
Ink = Literal["light", "dark"]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

HEIGHTS = (8, 12, 16, 24, 40)
CONTRASTS = (0.1, 0.2, 0.4, 1.0)
INKS: tuple[Ink, ...] = ("light", "dark")
DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
PLACES_TRIED = 60
_MARGIN = 3
GRAIN = 0.015
"""Deviation of the noise put on enlarged films, in parts of the range: enlarging smooths them."""
_AROUND_MARK = 1 / 40  # of a phantom's side: boxes may stand out over the word that much

_FAMILY = ("MUELLER", "Tanaka", "O'CONNOR", "DAVIDSON", "Yamamoto", "García", "LINDQVIST", "Novak")
_GIVEN = ("ANNA", "Kenji", "Maria", "DOUGLAS", "Haruka", "JEAN-PAUL", "Ingrid", "Piotr")
_PLACES = ("ST MARY HOSPITAL", "Univ. Clinic Radiology", "CITY GENERAL", "Room 3 Portable")


@dataclass(frozen=True)
class Cell:
    """What one line of text looks like.

    Contrast: of the ink to the film's mean grey under it, in parts of the full range; 1 means black
    on a white plate or white on a black one.
    """

    height: int  # of a capital letter, px
    contrast: float
    ink: Ink
    turned: bool  # the line runs upwards


CELLS = tuple(Cell(*looks) for looks in product(HEIGHTS, CONTRASTS, INKS, (False, True)))


def sentence(generator: np.random.Generator) -> str:
    """Something that gives a patient away: a name, a date, a number, or a place; ASCII or Latin."""
    family, given, place = (str(generator.choice(words)) for words in (_FAMILY, _GIVEN, _PLACES))
    year, month, day = (int(generator.integers(*span)) for span in ((1930, 2012), (1, 13), (1, 29)))
    number = int(generator.integers(10**7))
    sentences = [
        f"{family}^{given}",
        f"{given} {family} [{'MF'[number % 2]}] {day:02d}.{month:02d}.{year}",
        f"DOB: {year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year}",
        f"ID {number:07d}",
        f"Acc. {number:07d}-{month}",
        place,
    ]
    return str(generator.choice(sentences))


def line_mask(text: str, cell: Cell, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """The text as ink: float32 [h, w] in [0, 1], cut to what is inked.

    One line in two has hard edges, as bitmap fonts do.
    """
    font = _font(cell.height, generator)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1" if generator.integers(2) else "L"
    pen.text((2 - left, 2 - top), text, fill=255, font=font)
    ink = np.asarray(image.crop(image.getbbox()), np.float32) / np.float32(255)
    return np.asarray(np.rot90(ink) if cell.turned else ink, np.float32)


def write_line(
    pixels: Pixels, cell: Cell, taken: list[Box], generator: np.random.Generator
) -> tuple[Pixels, Box] | None:
    """Write a line outside the ``taken`` boxes, where the film leaves room for the contrast.

    Returns a new film and where the line is; None if no place was found.
    """
    ink = line_mask(sentence(generator), cell, generator)
    height, width = ink.shape[0] + 2 * _MARGIN, ink.shape[1] + 2 * _MARGIN
    if height > pixels.shape[0] or width > pixels.shape[1]:
        return None
    for _ in range(PLACES_TRIED):
        top = int(generator.integers(pixels.shape[0] - height + 1))
        left = int(generator.integers(pixels.shape[1] - width + 1))
        right, bottom = left + width, top + height
        painted = _painted(pixels[top:bottom, left:right], np.pad(ink, _MARGIN), cell)
        if painted is None or any(overlap(Box(left, top, right, bottom), box) for box in taken):
            continue
        written = pixels.copy()
        written[top:bottom, left:right] = painted
        return written, Box(left + _MARGIN, top + _MARGIN, right - _MARGIN, bottom - _MARGIN)
    return None


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes have a pixel in common."""
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _painted(under: Pixels, ink: npt.NDArray[np.float32], cell: Cell) -> Pixels | None:
    """The piece of film with the ink on it; None where the range leaves no room for it."""
    if cell.contrast == 1.0:
        plate, grey = (0.0, 255.0) if cell.ink == "light" else (255.0, 0.0)
        ground = np.full(under.shape, plate)
    else:
        ground = under.astype(np.float64)
        grey = ground.mean() + (255 if cell.ink == "light" else -255) * cell.contrast
        if not 0 <= grey <= 255:
            return None
    painted: Pixels = np.rint(ground + ink * (grey - ground)).astype(np.uint8)
    return painted


def _font(height: int, generator: np.random.Generator) -> Font:
    """A font whose capital letters are ``height`` px high, give or take one.

    Drawn from Pillow's own and, where the machine has them, DejaVu's.
    """
    files = sorted(DEJAVU.glob("*.ttf"))
    which = int(generator.integers(-len(files), 2)) if files else 0
    file = files[which] if which < 0 else None

    def error(font: Font) -> int:
        _, top, _, bottom = font.getbbox("H")
        return abs(int(bottom - top) - height)

    sizes = range(height, 2 * height)
    fonts = (ImageFont.truetype(file, s) if file else ImageFont.load_default(s) for s in sizes)
    return min(fonts, key=error)


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
