"""A real browser that asks for nothing but the page, and the page served by the command itself."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, ViewportSize

from gdshare.store.folder import Store

CHROMIUM = Path("/usr/bin/chromium")
OFF = ("gpu", "quic", "background-networking", "component-update", "sync")
FLAGS = ("--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in OFF))
VIEW: ViewportSize = {"width": 1400, "height": 900}
FILM = "canvas.leaflet-image-layer"

Places = Sequence[tuple[float, float]]
"""Shares of a film's width and height."""


def chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium without a screen.

    With a short path for its temporary files: one of them is a socket, whose path has 107 bytes.
    """
    return playwright.chromium.launch(
        executable_path=str(CHROMIUM),
        args=list(FLAGS),
        env={**os.environ, "TMPDIR": "/tmp"},  # noqa: S108 - it makes a folder of its own there
    )


@contextmanager
def served(store: Store, *options: str) -> Iterator[str]:
    """While the block runs, the command serves the page; yields the address it printed."""
    command = [sys.executable, "-m", "gdshare", "label", "--serve", str(store.path), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(iter(process.stdout or ())).split()[-1]
        finally:
            process.terminate()


def on_screen(page: Page, places: Places) -> list[tuple[float, float]]:
    """Where they lie in the tab, px."""
    box = page.locator(FILM).bounding_box()
    if box is None:
        raise RuntimeError("no film is on the screen")
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]


def draw(page: Page, places: Places, key: str = "d") -> None:
    """Click along a border and close it with the Enter key; returns when it is saved."""
    page.keyboard.press(key)
    for x, y in on_screen(page, places):
        page.mouse.move(x, y)
        page.mouse.click(x, y)
    before = version(page)
    page.keyboard.press("Enter")
    saved(page, before + 1)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag what lies at one place to another."""
    (x, y), to = on_screen(page, [start, end])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move((x + to[0]) / 2, (y + to[1]) / 2)
    page.mouse.move(*to)
    page.mouse.up()


def version(page: Page) -> int:
    """The version of the outline that the page says it saved; 0 before the first."""
    status = page.locator("#status").text_content() or ""
    return int(status.split("(version ")[1].rstrip(")")) if "(version " in status else 0


def saved(page: Page, number: int) -> None:
    """Wait until the page says that it saved this version."""
    page.get_by_text(f"(version {number})").wait_for(timeout=20_000)
