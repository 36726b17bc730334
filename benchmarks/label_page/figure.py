"""``python -m benchmarks.label_page.figure PNG``: the guide's picture of the page.

A SYNTHETIC film, outlined along the organ that the program drew.
"""

import io
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from benchmarks.label_page.browser import FILM, chromium, phantom_record, phantom_store, served
from gdshare.films.outlines.trace import trace
from gdshare.films.phantom import phantom_film
from gdshare.storage import write_bytes
from gdshare.store.outline import Drawing, save_outline

SIDE, OPTIONS = 1024, ("--patch", "149", "--stride", "25")
SHOWN = 1
"""Which of the store's films; it is a positive patient's."""
CORNERS = 45
"""That the outline is drawn with."""
VIEW: ViewportSize = {"width": 1200, "height": 820}
COLOURS = 224


def outlined() -> Drawing:
    """The shown film's drawing, as a careful hand would make it."""
    _, mask = phantom_film(SHOWN, True, 0, SIDE)
    border = max((part.rings[0] for part in trace(mask)), key=len)
    ring = border[:: max(1, len(border) // CORNERS)]
    points = tuple((float(x), float(y)) for x, y in ring)
    return Drawing(polygons=((points,),), diagnosis="positive")


def screenshot() -> bytes:
    """The page in real Chromium, as a PNG of few colours."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        films = [phantom_record(number, SIDE) for number in range(4)]
        store = phantom_store(Path(folder) / "store", films)
        save_outline(store, films[SHOWN], outlined(), 0, datetime.now(UTC))
        with served(store, *OPTIONS) as address:
            browser = chromium(playwright)
            page = browser.new_page(viewport=VIEW)
            page.goto(address)
            page.locator(FILM).wait_for()
            page.keyboard.press("j")
            page.wait_for_url(f"**/#{films[SHOWN].film}")
            page.get_by_text("1 ready film").wait_for()
            page.keyboard.press("e")
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
    write_bytes(Path(sys.argv[1]), screenshot())
