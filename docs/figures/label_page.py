"""The guide's pictures: ``python -m docs.figures.label_page outlining|review PNG``.

SYNTHETIC films: one outlined along the organ that the program drew; one with an invented name
written into it, framed where the text detector sees it, and half of it marked to be blacked out.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, ViewportSize, sync_playwright

from benchmarks.label_page.browser import (
    FILM,
    chromium,
    on_screen,
    served,
)
from docs.figures.phantom_store import phantom_record, phantom_store
from gdshare.films.burned_in import find_text
from gdshare.films.outlines.trace import trace
from gdshare.films.phantom import phantom_film
from gdshare.storage import write_bytes
from gdshare.store.folder import Store
from gdshare.store.outline import Drawing, save_outline
from gdshare.store.review import detect_text

SIDE, OPTIONS = 1024, ("--patch", "149", "--stride", "25")
SHOWN = 1
"""Which of the store's films; it is a positive patient's."""
CORNERS = 45
"""That the outline is drawn with."""
WRITTEN = ((30, 24, "DOE^JANE  1950-12-31"), (30, 950, "ID 4711-0815"))
"""Where on the held film, px, and what."""
VIEW: ViewportSize = {"width": 1366, "height": 657}
"""What a browser leaves of a screen of 1366 x 768."""
COLOURS = 224


def outlined() -> Drawing:
    """The shown film's drawing, as a careful hand would make it."""
    _, mask = phantom_film(SHOWN, True, 0, SIDE)
    border = max((part.rings[0] for part in trace(mask)), key=len)
    ring = border[:: max(1, len(border) // CORNERS)]
    points = tuple((float(x), float(y)) for x, y in ring)
    return Drawing(polygons=((points,),), diagnosis="positive")


def outlining_store(folder: Path) -> Store:
    """Released films, the shown one outlined."""
    films = [phantom_record(number, SIDE) for number in range(4)]
    store = phantom_store(folder, films)
    save_outline(store, films[SHOWN], outlined(), 0, datetime.now(UTC))
    return store


def outlining(page: Page) -> None:
    """The outlined film, its outline being edited."""
    page.get_by_text("1 ready film").wait_for()
    page.keyboard.press("e")


def review_store(folder: Path) -> Store:
    """The shown film is held, and the text detector has looked at it."""
    films = [phantom_record(number, SIDE) for number in range(4)]
    held_film = films[SHOWN].model_copy(update={"state": "held", "burned_in": None, "text": None})
    store = phantom_store(folder, [*films[:SHOWN], held_film, *films[SHOWN + 1 :]])
    picture = Image.fromarray(np.asarray(store.pixels(held_film).pixels) // 257).convert("L")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(34)
    for x, y, text in WRITTEN:
        pen.text((x, y), text, fill=235, font=font)
    store.put(held_film, np.asarray(picture).astype(np.uint16) * np.uint16(257))
    detect_text(store, find_text)
    return store


def review(page: Page) -> None:
    """The held film, with its name marked to be blacked out."""
    page.locator("#review-title").wait_for()
    page.keyboard.press("b")
    x, y, _ = WRITTEN[0]
    corners = [((x - 12) / SIDE, (y - 8) / SIDE), ((x + 420) / SIDE, (y + 52) / SIDE)]
    for place in on_screen(page, corners):
        page.mouse.move(*place)
        page.mouse.click(*place)
    page.get_by_text("1 box to black out").wait_for()


PICTURES: dict[str, tuple[Callable[[Path], Store], Callable[[Page], None]]] = {
    "outlining": (outlining_store, outlining),
    "review": (review_store, review),
}


def screenshot(make: Callable[[Path], Store], prepare: Callable[[Page], None]) -> bytes:
    """The page in real Chromium, as a PNG of few colours."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = make(Path(folder) / "store")
        with served(store, *OPTIONS) as address:
            browser = chromium(playwright)
            page = browser.new_page(viewport=VIEW)
            page.goto(address)
            page.locator(FILM).wait_for()
            name = phantom_record(SHOWN, SIDE).film
            page.keyboard.press("j")
            page.wait_for_url(f"**/#{name}")
            prepare(page)
            page.wait_for_timeout(500)
            shot = page.screenshot()
            browser.close()
    few, stream = (
        Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE),
        io.BytesIO(),
    )
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    write_bytes(Path(sys.argv[2]), screenshot(*PICTURES[sys.argv[1]]))
