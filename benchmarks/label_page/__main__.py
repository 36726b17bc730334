"""``python -m benchmarks.label_page``: waiting times on the outlining page, in real Chromium.

A point of an outline is dragged; the clock runs from the release of the button until the new grid
is on the screen, the outline being on the disk by then. Half a minute; ``--quick`` takes fewer.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

from benchmarks.command import parser, write_figures
from benchmarks.label_page import browser
from docs.figures.phantom_store import phantom_record, phantom_store

NAME = "benchmarks.label_page"
SIDES = (512, 2048)
LIMIT_MS = 200  # at 2048 x 2048, median
EDITS, QUICK_EDITS = 20, 5
SOURCE_SIDE, SOURCE_PATCH, SOURCE_STRIDE = 2048, 299, 50
BORDER = ((0.3, 0.2), (0.7, 0.2), (0.8, 0.5), (0.6, 0.8), (0.3, 0.7))

CLOCK = Path(__file__).with_name("clock.js").read_text(encoding="utf-8")


def measure(side: int, edits: int) -> list[float]:
    """Edit an outline on a synthetic film in the source's proportions; ms waited for each edit."""
    patch, stride = (round(size * side / SOURCE_SIDE) for size in (SOURCE_PATCH, SOURCE_STRIDE))
    options = ("--patch", str(patch), "--stride", str(stride))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = phantom_store(Path(folder) / "store", [phantom_record(0, side)])
        with browser.served(store, *options) as address:
            chromium = browser.chromium(playwright)
            page = chromium.new_page(viewport=browser.VIEW)
            page.goto(address)
            page.locator(browser.FILM).wait_for()
            browser.draw(page, BORDER)
            page.evaluate(CLOCK)
            here = BORDER[0]
            for number in range(edits):
                # Never a place twice: the server remembers the last grids.
                there = (here[0] + (0.15, -0.16)[number % 2], here[1] + 0.005)
                before = browser.version(page)
                browser.drag(page, here, there)
                browser.saved(page, before + 1)
                page.wait_for_timeout(300)
                here = there
            waits: list[float] = page.evaluate("window.waits")
            chromium.close()
    return waits


def main() -> None:
    chosen = parser(NAME, __doc__, f"{QUICK_EDITS} edits a film").parse_args()
    if not browser.CHROMIUM.exists():
        sys.exit(f"{browser.CHROMIUM}: not there; install Debian's chromium with make system")
    edits = QUICK_EDITS if chosen.quick else EDITS
    medians, slowest = {}, {}
    for side in SIDES:
        waits = measure(side, edits)
        medians[side], slowest[side] = median(waits), max(waits)
        figures = f"{medians[side]:6.0f} ms (slowest {slowest[side]:.0f})"
        print(f"{side:>5} px   edit to grid {figures}", flush=True)
    within = medians[SIDES[-1]] <= LIMIT_MS
    print(f"an edit at {SIDES[-1]} px within {LIMIT_MS} ms: {'yes' if within else 'NO'}")
    results = {"edits": edits, "edit_ms": medians, "slowest_edit_ms": slowest}
    write_figures(chosen.json, NAME, results | {f"within_{LIMIT_MS}_ms": within})


if __name__ == "__main__":
    main()
