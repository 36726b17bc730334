"""``python -m benchmarks.label_page``: waiting times on the outlining page, in real Chromium.

A point of an outline is dragged; the clock runs from the release of the button until the new grid
is on the screen, the outline being on the disk by then. Half a minute; ``--quick`` takes fewer.
"""

import sys

from benchmarks.command import parser, write_figures
from benchmarks.label_page.browser import CHROMIUM
from benchmarks.label_page.trial import Waits, measure

SIDES = (512, 2048)
LIMIT_MS = 200
"""At 2048 x 2048, median."""
NAME = "benchmarks.label_page"
EDITS, QUICK_EDITS = 20, 5


def line(side: int, waits: Waits) -> str:
    """One film's figures for people."""
    return (
        f"{side:>5} px   edit to grid {waits.edit:6.0f} ms (slowest {max(waits.edits):.0f})   "
        f"brightness {waits.window:5.0f} ms   opening {waits.opening:6.0f} ms"
    )


def main() -> None:
    """Read the options and measure."""
    chosen = parser(NAME, __doc__, f"{QUICK_EDITS} edits a film").parse_args()
    if not CHROMIUM.exists():
        sys.exit(f"{CHROMIUM}: not there; install Debian's chromium with make system")
    found = {}
    for side in SIDES:
        found[side] = measure(side, QUICK_EDITS if chosen.quick else EDITS)
        print(line(side, found[side]), flush=True)
    within = found[SIDES[-1]].edit <= LIMIT_MS
    print(f"an edit at {SIDES[-1]} px within {LIMIT_MS} ms: {'yes' if within else 'NO'}")
    figures = {
        "edits": len(found[SIDES[-1]].edits),
        "edit_ms": {str(side): waits.edit for side, waits in found.items()},
        "slowest_edit_ms": {str(side): max(waits.edits) for side, waits in found.items()},
        "brightness_ms": {str(side): waits.window for side, waits in found.items()},
        "opening_ms": {str(side): waits.opening for side, waits in found.items()},
        f"within_{LIMIT_MS}_ms": within,
    }
    write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
