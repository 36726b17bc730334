"""``python -m benchmarks.label_page``: waiting times on the outlining page, in real Chromium.

A point of an outline is dragged; the clock runs from the release of the button until the new grid
is on the screen, the outline being on the disk by then. Half a minute; ``--quick`` takes fewer.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.command import parser, write_figures
from benchmarks.label_page import browser

NAME = "benchmarks.label_page"
SIDES = (512, 2048)
LIMIT_MS = 200
"""At 2048 x 2048, median."""
EDITS, QUICK_EDITS = 20, 5
SOURCE_SIDE, SOURCE_PATCH, SOURCE_STRIDE = 2048, 299, 50
BORDER = ((0.3, 0.2), (0.7, 0.2), (0.8, 0.5), (0.6, 0.8), (0.3, 0.7))

CLOCK = """
() => {
  window.times = { edits: [], windows: [] };
  let released = 0;
  addEventListener("mouseup", (event) => { released = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (!document.getElementById("status").textContent.startsWith("saved")) return;
    const since = released;
    // The second frame begins when the first, which shows the new grid, is on the screen.
    requestAnimationFrame(() => requestAnimationFrame((now) => {
      if (since) window.times.edits.push(now - since);
    }));
  }).observe(document.getElementById("status"), { childList: true });
  addEventListener("keydown", (event) => {
    if (event.key === ".") requestAnimationFrame(() => requestAnimationFrame((now) => {
      window.times.windows.push(now - event.timeStamp);
    }));
  }, true);
}
"""
"""From the button's release to the frame after the one with the new grid, and from a key to the
frame after the one with the new brightness; ms."""


@dataclass(frozen=True)
class Waits:
    """Measured on one film, ms.

    Attributes:
        opening: from the address to the film on the screen.
        edits: of each outline edit, until its grid is on the screen and its outline on the disk.
        windows: of each change of brightness.
    """

    opening: float
    edits: list[float]
    windows: list[float]


def measure(side: int, edits: int) -> Waits:
    """Outline a synthetic film in the source's proportions, and edit it so many times."""
    patch, stride = (size * side / SOURCE_SIDE for size in (SOURCE_PATCH, SOURCE_STRIDE))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = browser.phantom_store(Path(folder) / "store", [browser.phantom_record(0, side)])
        with browser.served(
            store, "--patch", f"{patch:.0f}", "--stride", f"{stride:.0f}"
        ) as address:
            chromium = browser.chromium(playwright)
            page = chromium.new_page(viewport=browser.VIEW)
            page.goto(address)
            page.locator(browser.FILM).wait_for()
            opening: float = page.evaluate("performance.now()")
            times = _edit(page, edits)
            chromium.close()
    return Waits(opening, **times)


def _edit(page: Page, edits: int) -> dict[str, list[float]]:
    browser.draw(page, BORDER)
    page.evaluate(CLOCK)
    here = BORDER[0]
    for number in range(edits):
        # Never a place twice: the server remembers the last grids.
        there = (here[0] + (0.15, -0.16)[number % 2], here[1] + 0.005)
        before = browser.version(page)
        browser.drag(page, here, there)
        browser.saved(page, before + 1)
        page.keyboard.press(".")
        page.wait_for_timeout(300)
        here = there
    times: dict[str, list[float]] = page.evaluate("window.times")
    return times


def line(side: int, waits: Waits) -> str:
    """One film's figures for people."""
    return (
        f"{side:>5} px   edit to grid {median(waits.edits):6.0f} ms "
        f"(slowest {max(waits.edits):.0f})   brightness {median(waits.windows):5.0f} ms   "
        f"opening {waits.opening:6.0f} ms"
    )


def main() -> None:
    """Read the options and measure."""
    chosen = parser(NAME, __doc__, f"{QUICK_EDITS} edits a film").parse_args()
    if not browser.CHROMIUM.exists():
        sys.exit(f"{browser.CHROMIUM}: not there; install Debian's chromium with make system")
    films = {}
    for side in SIDES:
        films[side] = measure(side, QUICK_EDITS if chosen.quick else EDITS)
        print(line(side, films[side]), flush=True)
    largest = films[SIDES[-1]]
    within = median(largest.edits) <= LIMIT_MS
    print(f"an edit at {SIDES[-1]} px within {LIMIT_MS} ms: {'yes' if within else 'NO'}")
    figures = {
        "edits": len(largest.edits),
        "edit_ms": {str(side): median(waits.edits) for side, waits in films.items()},
        "slowest_edit_ms": {str(side): max(waits.edits) for side, waits in films.items()},
        "brightness_ms": {str(side): median(waits.windows) for side, waits in films.items()},
        "opening_ms": {str(side): waits.opening for side, waits in films.items()},
        f"within_{LIMIT_MS}_ms": within,
    }
    write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
