"""The README's pictures: ``python -m docs.figures.strip DEMO STRIP PAGE``, from a finished demo.

STRIP is one of the demo's hospitals at work, and a film of the fourth hospital; PAGE the first
screen of its report. All films are SYNTHETIC.
"""

import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import ViewportSize, sync_playwright
from scipy.ndimage import binary_dilation

from benchmarks.label_page.browser import chromium
from gdshare.cohort import CohortFilm, open_cohort
from gdshare.distill.run_folder import read_result
from gdshare.errors import UsageError
from gdshare.films import Film, read_film, read_mask
from gdshare.labels import DISCARDED, label_windows
from gdshare.patches import Grid, inside_fractions
from gdshare.protocol import CLASSES, PatchClass, Protocol
from gdshare.report.page import PAGE
from gdshare.report.vote_files import read_record
from gdshare.report.vote_map import draw_votes
from gdshare.storage import write_bytes
from gdshare.vote import VoteMap

SIDE, GAP, LINE, TOP = 260, 44, 20, 12
TILE = 78
OUTLINE = (86, 180, 233)
BLACK, WHITE = (17, 17, 17), (255, 255, 255)
VIEW: ViewportSize = {"width": 1100, "height": 760}
HOSPITAL = "north"


def strip(demo: Path) -> Image.Image:
    """Film, labelled windows, the three images, and a new film with its votes."""
    cohort = open_cohort(demo / "sites" / HOSPITAL / "cohort")
    film = next(own for own in cohort.films_of("train") if own.positive)
    panels = [
        (_outlined(film), ("a hospital outlines", "the organ on its films")),
        (
            _labelled(film, cohort.protocol),
            ("and cuts it: windows inside", "are P here, those outside I"),
        ),
        (_images(demo), ("all that leaves: three images,", "soft labels, learning rates")),
        (_voted(demo), ("the pooled model votes on", "a film of another hospital")),
    ]
    width = len(panels) * (SIDE + GAP) - GAP + 2 * TOP
    canvas = Image.new("RGB", (width, TOP + SIDE + 8 + 2 * LINE + TOP), WHITE)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for place, (picture, words) in enumerate(panels):
        left = TOP + place * (SIDE + GAP)
        canvas.paste(picture.resize((SIDE, SIDE)), (left, TOP))
        for number, line in enumerate(words):
            pen.text((left, TOP + SIDE + 6 + number * LINE), line, BLACK, font)
        if place:
            _arrow(pen, left - GAP + 8, TOP + SIDE // 2)
    return canvas


def _arrow(pen: ImageDraw.ImageDraw, left: int, middle: int) -> None:
    right = left + GAP - 16
    pen.line((left, middle, right, middle), BLACK, 3)
    pen.polygon([(right + 4, middle), (right - 8, middle - 7), (right - 8, middle + 7)], BLACK)


def _gray(film: Film) -> Image.Image:
    """The film without any vote."""
    grid = Grid(1, 1, 1, 1)
    return draw_votes(film, VoteMap(grid, np.full((1, 1, 1), PatchClass.I, np.uint8)), SIDE)


def _outlined(own: CohortFilm) -> Image.Image:
    film, mask = _read(own)
    small = np.asarray(Image.fromarray(mask).resize((SIDE, SIDE)))
    edge = binary_dilation(small, iterations=2) & ~small
    picture = np.asarray(_gray(film).resize((SIDE, SIDE))).copy()
    picture[edge] = OUTLINE
    return Image.fromarray(picture)


def _labelled(own: CohortFilm, protocol: Protocol) -> Image.Image:
    film, mask = _read(own)
    grid = Grid.on(film, protocol)
    labels = label_windows(inside_fractions(mask, grid), own.positive, protocol)
    labels[labels == DISCARDED] = PatchClass.I
    return draw_votes(film, VoteMap(grid, labels[None]), SIDE)


def _read(own: CohortFilm) -> tuple[Film, npt.NDArray[np.bool_]]:
    if own.mask is None:
        raise UsageError("is a film without an outline", own.image)
    film = read_film(own.image)
    return film, read_mask(own.mask, film.shape)


def _images(demo: Path) -> Image.Image:
    """The images below one another, each with its soft label."""
    distilled = read_result(demo / "sites" / HOSPITAL / "run")
    canvas = Image.new("RGB", (SIDE, SIDE), WHITE)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for place, (image, label) in enumerate(zip(distilled.images, distilled.labels, strict=True)):
        low, high = np.percentile(image[0], (1, 99))
        gray = np.clip((image[0] - low) / (high - low), 0, 1)
        tile = Image.fromarray(np.rint(255 * gray).astype(np.uint8))
        top = place * (TILE + 13)
        canvas.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (0, top))
        for line, (name, share) in enumerate(zip(CLASSES, label, strict=True)):
            pen.text((TILE + 14, top + 8 + line * LINE), f"{name} {share:.0%}", BLACK, font)
    return canvas


def _voted(demo: Path) -> Image.Image:
    """The fourth hospital's film that is most surely called positive."""
    maps = demo / "maps"
    films = sorted((demo / "new-films").rglob("*.png"))
    records = [(read_record(maps, path.name), path) for path in films]
    known = [(record, path) for record, path in records if record is not None]
    record, path = max(known, key=lambda pair: pair[0].ratio or 0.0)
    return draw_votes(read_film(path), record.seen, SIDE)


def first_screen(page_file: Path) -> bytes:
    """The top of a report in real Chromium, as a PNG of few colours."""
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport=VIEW)
        page.goto(page_file.absolute().as_uri())
        shot = page.screenshot()
        browser.close()
    return _few_colours(Image.open(io.BytesIO(shot)).convert("RGB"))


def _few_colours(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.quantize(128).save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_bytes(Path(sys.argv[2]), _few_colours(strip(folder)))
    write_bytes(Path(sys.argv[3]), first_screen(folder / PAGE))
