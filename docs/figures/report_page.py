"""The guides' pictures of report pages: ``python -m docs.figures.report_page REPORT.html PNG``.

REPORT.html is a page of ``gdshare report``, such as those of ``demo-out/sites/north/run`` and
``demo-out/round`` of ``gdshare demo`` (SYNTHETIC).
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from benchmarks.label_page.browser import chromium
from gdshare.storage import write_bytes

VIEW: ViewportSize = {"width": 1000, "height": 640}
COLOURS = 128


def screenshot(report: Path) -> bytes:
    """The top of the page in real Chromium, as a PNG of few colours."""
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport=VIEW, color_scheme="light")
        page.goto(report.resolve().as_uri())
        shot = page.screenshot()
        browser.close()
    few, stream = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS), io.BytesIO()
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    write_bytes(Path(sys.argv[2]), screenshot(Path(sys.argv[1])))
