"""Distilled images as pictures of a page: what leaves a hospital, with soft labels and rates."""

import numpy as np
from PIL import Image

from gdshare.distilled import Distilled
from gdshare.protocol import CLASSES
from gdshare.report.page import Picture

SIDE = 192
"""Of an image on the page, px."""
PERCENTILES = (1.0, 99.0)
"""Of an image's values, shown as black and white."""


def tiles(distilled: Distilled, whose: str) -> tuple[Picture, ...]:
    """A picture an image, with its soft label; the gray scale covers its middle 98%."""
    pictures = []
    for number, (image, label) in enumerate(zip(distilled.images, distilled.labels, strict=True)):
        values = image[0]  # [side, side]
        low, high = np.percentile(values, PERCENTILES)
        gray = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
        tile = Image.fromarray(np.rint(255 * gray).astype(np.uint8))
        tile = tile.resize((SIDE, SIDE), Image.Resampling.NEAREST)
        shares = ", ".join(
            f"{name} {100 * float(share):.0f}%" for name, share in zip(CLASSES, label, strict=True)
        )
        words = f"{whose}, distilled image {number + 1}"
        pictures.append(Picture.photographed(tile, words, f"{whose}, image {number + 1}\n{shares}"))
    return tuple(pictures)


def rates_text(distilled: Distilled) -> str:
    """The learning rates, such as ``0.041`` or ``24 rates from 0.01 to 0.06``."""
    rates = [float(rate) for rate in distilled.learning_rates]
    if len(rates) == 1:
        return f"{rates[0]:.4g}"
    return f"{len(rates)} rates from {min(rates):.4g} to {max(rates):.4g}"
