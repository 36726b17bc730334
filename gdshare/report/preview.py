"""The distilled images as a picture, like the source's Figure 3."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gdshare.distilled import Distilled
from gdshare.protocol import CLASSES

TILE = 192
MARGIN = 16
LINE = 18
SPREAD = 3.0
"""The gray scale covers the mean of an image's pixels, plus and minus so many deviations."""


def render_preview(distilled: Distilled) -> bytes:
    """Draw each image with its soft label in per cent, and the learning rate.

    Deterministic for a given version of pillow. The picture shows only what is in the tensors, and
    has no metadata.

    Returns:
        a gray-scale PNG, with up to eight tiles per row.
    """
    count = len(distilled.images)
    columns = min(count, 8)
    rows = -(-count // columns)
    text_lines = len(CLASSES) + 1
    cell_height = TILE + text_lines * LINE + MARGIN
    width = MARGIN + columns * (TILE + MARGIN)
    canvas = Image.new("L", (width, MARGIN + rows * cell_height + LINE + MARGIN), 255)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for index in range(count):
        left = MARGIN + (index % columns) * (TILE + MARGIN)
        top = MARGIN + (index // columns) * cell_height
        canvas.paste(_tile(distilled.images[index, 0]), (left, top))
        for line, text in enumerate(_label_lines(distilled.labels[index])):
            pen.text((left, top + TILE + 4 + line * LINE), text, fill=0, font=font)
    pen.text((MARGIN, canvas.height - LINE - MARGIN // 2), _rate_line(distilled), fill=0, font=font)
    stream = io.BytesIO()
    canvas.save(stream, format="PNG", optimize=False)
    return stream.getvalue()


def _tile(image: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Image.Image:
    """An image, float32 [side, side], stretched to 8 bits and enlarged without smoothing."""
    spread = SPREAD * float(image.std()) or 1.0
    gray = (image - image.mean()) / (2 * spread) + 0.5
    tile = Image.fromarray(np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8))
    return tile.resize((TILE, TILE), Image.Resampling.NEAREST)


def _label_lines(label: np.ndarray[tuple[int], np.dtype[np.float32]]) -> list[str]:
    base = CLASSES[int(label.argmax())]
    return [f"{base} (base)"] + [
        f"{name}: {100 * float(share):.1f}%" for name, share in zip(CLASSES, label, strict=True)
    ]


def _rate_line(distilled: Distilled) -> str:
    rates = distilled.learning_rates
    if len(rates) == 1:
        return f"Learning rate: {float(rates[0]):.4f}"
    low, high = float(rates.min()), float(rates.max())
    mean = float(rates.mean())
    return f"Learning rate: {mean:.4f} mean of {len(rates)} steps ({low:.4f} to {high:.4f})"
