"""A film with the votes of its windows on it, and how they make its verdict (Eq. 4)."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gdshare.films import Film
from gdshare.protocol import PatchClass
from gdshare.vote import VoteMap, Votes

SIDE = 900
"""Of the film's longer side in the picture, px."""
LEAST_WIDTH = 640
"""Of the picture, for its words, px."""
COLOURS = {PatchClass.N: (240, 228, 66), PatchClass.P: (232, 116, 59)}
"""Those of the outlining page (Okabe and Ito): apart for every kind of colour blindness."""
OPACITY = 0.45
"""Of a window on which all networks agree."""
FOOT, MARGIN, BAR = 150, 16, 14
"""Of the words below the film, px. Their font has no ε."""
BLACK, GRAY, WHITE = (17, 17, 17), (190, 190, 190), (255, 255, 255)


def draw_map(film: Film, seen: VoteMap, threshold: float) -> Image.Image:
    """Draw a film, its windows called N or P in their colours, and the ratio against ε.

    Windows overlap, so each colours the square of one step around its centre. The film is stretched
    from its 1st to its 99th percentile. The picture has no metadata, and no name.

    Args:
        film: as it was classified.
        seen: its votes.
        threshold: ε.

    Returns:
        an RGB picture.
    """
    picture = draw_votes(film, seen, SIDE)
    canvas = Image.new("RGB", (max(LEAST_WIDTH, picture.width), picture.height + FOOT), WHITE)
    canvas.paste(picture, ((canvas.width - picture.width) // 2, 0))
    _foot(ImageDraw.Draw(canvas), canvas.width, picture.height, seen.votes, threshold)
    return canvas


def draw_votes(film: Film, seen: VoteMap, side: int) -> Image.Image:
    """The film with its windows alone, without words.

    Args:
        film, seen: as in ``draw_map``.
        side: of the film's longer side in the picture, px.
    """
    height, width = film.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    gray = Image.fromarray(_stretched(film.pixels)).resize(size, Image.Resampling.BOX)
    picture = gray.convert("RGB")
    overlay, step = _overlay(seen), seen.grid.stride * scale
    # Beside the outermost windows' centres lies half a window that no step covers.
    left = round((seen.grid.patch - seen.grid.stride) / 2 * scale)
    over = overlay.resize(
        (max(1, round(seen.grid.columns * step)), max(1, round(seen.grid.rows * step))),
        Image.Resampling.NEAREST,
    )
    picture.paste(over, (left, left), over)
    return picture


def _stretched(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(pixels, (1, 99))
    gray = (pixels.astype(np.float32) - low) * (255 / max(1, high - low))
    shown: npt.NDArray[np.uint8] = gray.clip(0, 255).astype(np.uint8)
    return shown


def _overlay(seen: VoteMap) -> Image.Image:
    """A pixel a window, the more opaque, the more networks call it N or P."""
    shares = [seen.share(label)[:, :, None] for label in COLOURS]
    inside = sum(shares)
    mixed = sum(s * np.array(c, float) for s, c in zip(shares, COLOURS.values(), strict=True))
    colour = mixed / np.maximum(inside, 1e-9)  # [rows, columns, 3]
    rgba = np.concatenate([colour, 255 * OPACITY * inside], axis=2)
    return Image.fromarray(np.rint(rgba).astype(np.uint8), "RGBA")


def _foot(pen: ImageDraw.ImageDraw, width: int, top: int, votes: Votes, threshold: float) -> None:
    """The verdict, the ratio as a bar with ε on it, and what the colours mean."""
    large, small = ImageFont.load_default(22), ImageFont.load_default(15)
    right, line = width - MARGIN, top + MARGIN
    if votes.indeterminate:
        words = "indeterminate: no window was called N or P; a person must look"
    else:
        words = f"{votes.verdict_at(threshold)}: ratio {votes.ratio:.3f}, threshold {threshold:.2f}"
    pen.text((MARGIN, line), words, BLACK, large)
    line += 36
    pen.rectangle((MARGIN, line, right, line + BAR), GRAY)
    end = MARGIN + round(votes.ratio * (right - MARGIN))
    if votes.ratio:
        pen.rectangle((MARGIN, line, end, line + BAR), COLOURS[PatchClass.P])
    at = MARGIN + round(threshold * (right - MARGIN))
    pen.rectangle((at - 1, line - 5, at + 1, line + BAR + 5), BLACK)
    line += BAR + 12
    place = MARGIN
    for label, words in (
        (PatchClass.P, f"P, inside and positive: {votes.p}"),
        (PatchClass.N, f"N, inside and negative: {votes.n}"),
    ):
        pen.rectangle((place, line + 2, place + 14, line + 16), COLOURS[label], BLACK)
        pen.text((place + 22, line), words, BLACK, small)
        place += 32 + round(pen.textlength(words, small)) + MARGIN
    pen.text((place, line), f"I, outside: {votes.i}", BLACK, small)
    note = (
        "Ratio: P of P and N. Positive from the threshold on. For research only; no medical device."
    )
    pen.text((MARGIN, line + 24), note, BLACK, small)
