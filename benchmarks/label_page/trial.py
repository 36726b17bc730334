"""One point of an outline is dragged again and again, with a clock in the page itself."""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.label_page.browser import (
    FILM,
    VIEW,
    chromium,
    drag,
    draw,
    phantom_record,
    phantom_store,
    saved,
    served,
    version,
)

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
    """What was measured, ms.

    Attributes:
        opening: from the address to the film on the screen.
        edits: of each outline edit, until its grid is on the screen and its outline on the disk.
        windows: of each change of brightness.
    """

    opening: float
    edits: tuple[float, ...]
    windows: tuple[float, ...]

    @property
    def edit(self) -> float:
        """Median of ``edits``."""
        return statistics.median(self.edits)

    @property
    def window(self) -> float:
        """Median of ``windows``."""
        return statistics.median(self.windows)


def measure(side: int, edits: int) -> Waits:
    """Outline a synthetic film in the source's proportions and edit it.

    Args:
        side: of the film, px.
        edits: how often a point is dragged, and how often the brightness changed.
    """
    scale = side / SOURCE_SIDE
    protocol = (
        "--patch",
        f"{SOURCE_PATCH * scale:.0f}",
        "--stride",
        f"{SOURCE_STRIDE * scale:.0f}",
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        served(
            phantom_store(Path(folder) / "store", [phantom_record(0, side)]), *protocol
        ) as address,
        sync_playwright() as playwright,
    ):
        browser = chromium(playwright)
        page = browser.new_page(viewport=VIEW)
        page.goto(address)
        page.locator(FILM).wait_for()
        opening = page.evaluate("performance.now()")
        waits = _waits(page, edits)
        browser.close()
    return Waits(opening, tuple(waits["edits"]), tuple(waits["windows"]))


def _waits(page: Page, edits: int) -> dict[str, list[float]]:
    draw(page, BORDER)
    page.evaluate(CLOCK)
    here = BORDER[0]
    for number in range(edits):
        # Never a place twice: the server remembers the last grids.
        there = (here[0] + (0.15, -0.16)[number % 2], here[1] + 0.005)
        before = version(page)
        drag(page, here, there)
        saved(page, before + 1)
        page.keyboard.press(".")
        page.wait_for_timeout(300)
        here = there
    found: dict[str, list[float]] = page.evaluate("window.times")
    return found
