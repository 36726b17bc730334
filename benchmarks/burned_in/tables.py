"""What was seen as tables for people, and as data."""

from collections.abc import Callable
from statistics import mean

from pydantic import JsonValue

from benchmarks.burned_in.tally import Clean, Share, Sought, recall
from benchmarks.burned_in.trial import Seen
from benchmarks.burned_in.writing import CONTRASTS, HEIGHTS, INKS
from studies.quality.tables import aligned

Sort = tuple[str, Callable[[Sought], bool]]

NOTES = (
    "Recall: the share of written lines of which half the area lies in boxes, with Wilson's 95% "
    "interval. Contrast: of the ink to the film's mean grey under the line, in parts of the range; "
    "plate: black on a white plate, or white on a black one. Height: of a capital letter.",
    "False boxes: on films before anything was written, those of which half lies where surely no "
    "text is: inside the lungs of chest X-rays, and on phantoms away from the word SYNTHETIC. All "
    "boxes: with that word, side markers and old labels, which are text.",
    "The lines are generated (Latin letters, Pillow's font and, where the machine has them, "
    "DejaVu's) and so cleaner than a real film's: other scripts, handwriting, lead letters, lines "
    "that slant or that scanning blurred are not measured. Chest X-rays above 512 px are enlarged.",
)


def text(seen: Seen) -> str:
    """All tables."""
    return "\n\n".join([*NOTES, _grid(seen), _sorts(seen), _clean(seen), _seconds(seen)])


def as_data(seen: Seen) -> dict[str, JsonValue]:
    """The same for programs."""
    return {
        "lines": len(seen.sought),
        "recall": {name: _share(recall(seen.sought, wanted)) for name, wanted in sorts()},
        "recall_by_contrast_and_height": {
            f"{contrast:g}": {
                str(height): _share(recall(seen.sought, _cell(contrast, height)))
                for height in HEIGHTS
            }
            for contrast in CONTRASTS
        },
        "clean": {
            name: {
                "films": len(films),
                "false_boxes_per_film": mean(one.false_boxes for one in films),
                "films_with_false_boxes": _share(_spoilt(films)),
                "boxes_per_film": mean(one.boxes for one in films),
                "area_marked": mean(one.marked for one in films),
            }
            for name, films in _by_kind(seen).items()
        },
        "cpu_seconds_per_film": {str(side): mean(s) for side, s in sorted(seen.seconds.items())},
    }


def sorts() -> list[Sort]:
    """The sorts of lines that have a row each."""
    return [
        ("all", lambda one: True),
        *((f"{ink} ink", lambda one, ink=ink: one.line.cell.ink == ink) for ink in INKS),
        ("level", lambda one: not one.line.cell.turned),
        ("turned", lambda one: one.line.cell.turned),
        ("chest", lambda one: one.kind == "chest"),
        ("phantom", lambda one: one.kind == "phantom"),
        *(
            (f"film of {side} px", lambda one, side=side: one.side == side)
            for side in (512, 1024, 2048)
        ),
    ]


def _cell(contrast: float, height: int) -> Callable[[Sought], bool]:
    return lambda one: (one.line.cell.contrast, one.line.cell.height) == (contrast, height)


def _grid(seen: Seen) -> str:
    rows = [
        [_contrast(contrast)]
        + [_told(recall(seen.sought, _cell(contrast, height))) for height in HEIGHTS]
        for contrast in CONTRASTS
    ]
    return aligned("Recall by contrast and height", ["", *(f"{h} px" for h in HEIGHTS)], rows)


def _contrast(contrast: float) -> str:
    return "plate" if contrast == 1.0 else f"{contrast:.0%}"


def _sorts(seen: Seen) -> str:
    rows = [[name, _told(recall(seen.sought, wanted))] for name, wanted in sorts()]
    return aligned("Recall by sort of line", ["", "recall"], rows)


def _clean(seen: Seen) -> str:
    rows = [
        [
            f"{name} ({len(films)} films)",
            f"{mean(one.false_boxes for one in films):.2f}",
            _told(_spoilt(films)),
            f"{mean(one.boxes for one in films):.1f}",
            f"{mean(one.marked for one in films):.1%}",
        ]
        for name, films in _by_kind(seen).items()
    ]
    head = ["", "false boxes a film", "films with one", "all boxes a film", "area marked"]
    return aligned("Before anything was written", head, rows)


def _seconds(seen: Seen) -> str:
    rows = [[f"{side} px", f"{mean(s):.1f}"] for side, s in sorted(seen.seconds.items())]
    return aligned("CPU-seconds a film, one thread", ["", "mean"], rows)


def _by_kind(seen: Seen) -> dict[str, list[Clean]]:
    kinds = sorted({one.kind for one in seen.clean})
    return {kind: [one for one in seen.clean if one.kind == kind] for kind in kinds}


def _spoilt(films: list[Clean]) -> Share:
    return Share(sum(one.false_boxes > 0 for one in films), len(films))


def _told(share: Share) -> str:
    if not share.of:
        return "-"
    low, high = share.interval.low, share.interval.high
    return f"{share.value:.2f} [{low:.2f}, {high:.2f}] of {share.of}"


def _share(share: Share) -> JsonValue:
    interval = share.interval
    return {
        "value": share.value if share.of else None,
        "interval": [interval.low, interval.high],
        "of": share.of,
    }
