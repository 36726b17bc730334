"""From attenuation to a film: blur, quantum noise, grain, tone, collimator, and the word SYNTHETIC.

Sites differ in how they expose and process films: this is the domain shift of a federation. Nothing
here depends on the diagnosis or adapts to the content of the film.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from gdshare.films.phantom.fields import Field, Stream, noise, ramp, stream


@dataclass(frozen=True)
class SiteLook:
    """Exposure and processing of a site's films.

    Attributes:
        contrast: steepness of the tone curve, about 1.
        level: attenuation displayed as middle gray, about 0.7; a lower level gives brighter films.
        quantum: standard deviation of the quantum noise at attenuation 0.7 and 512 px, in
            attenuation.
        grain: standard deviation of the film grain, as a fraction of full scale.
        blur: standard deviation of the point spread, in film sides.
    """

    contrast: float = 1.0
    level: float = 0.72
    quantum: float = 0.030
    grain: float = 0.010
    blur: float = 0.0011


SITES = (
    SiteLook(),
    SiteLook(contrast=1.18, level=0.67, quantum=0.022, grain=0.014, blur=0.0015),
    SiteLook(contrast=0.86, level=0.77, quantum=0.040, grain=0.008, blur=0.0009),
)
MARK = "SYNTHETIC"
MARK_GRAY = 205


def site_look(site: int) -> SiteLook:
    """The look of a site: the first three are fixed, the others drawn from the same range."""
    if site < len(SITES):
        return SITES[site]
    rng = stream(Stream.SITE, site)
    return SiteLook(
        contrast=float(rng.uniform(0.86, 1.18)),
        level=float(rng.uniform(0.67, 0.77)),
        quantum=float(rng.uniform(0.022, 0.040)),
        grain=float(rng.uniform(0.008, 0.014)),
        blur=float(rng.uniform(0.0009, 0.0015)),
    )


def blur(attenuation: Field, look: SiteLook) -> Field:
    """Blur by the focal spot and the detector: float32 [H, W]."""
    return np.asarray(gaussian_filter(attenuation, look.blur * len(attenuation), truncate=3.0))


def develop(attenuation: Field, look: SiteLook, keys: tuple[int, int]) -> Field:
    """Turn attenuation into gray values with noise.

    Args:
        attenuation: float32 [H, W], at least about 0.
        look: the site's look.
        keys: patient and seed of the film.

    Returns:
        float32 [H, W], about [0, 1]; dense is bright.
    """
    size = len(attenuation)
    rng = stream(Stream.NOISE, *keys)
    exposure = stream(Stream.EXPOSURE, *keys)
    # Fewer quanta reach a pixel behind dense tissue, and fewer reach a smaller pixel.
    quanta = look.quantum * (size / 512) * np.exp((attenuation - 0.7) / 2)
    noisy = attenuation + quanta * rng.standard_normal(attenuation.shape, np.float32)
    contrast = look.contrast * exposure.uniform(0.9, 1.1)
    level = look.level + exposure.normal(0, 0.035)
    film = 1 / (1 + np.exp(-4.2 * contrast * (noisy - level)))
    axis = np.linspace(0, 1, size, dtype=np.float32)
    heel = exposure.normal(0, 0.04) * (axis[:, None] - 0.5) + exposure.normal(0, 0.04) * (
        axis - 0.5
    )
    film = film * (1 + heel) + look.grain * noise(rng, 256, axis, axis)
    return np.asarray(film, np.float32)


def collimate(film: Field, keys: tuple[int, int]) -> Field:
    """Black out the area behind the collimator's four slightly oblique leaves: float32 [H, W]."""
    rng = stream(Stream.POSITION, *keys, 1)
    axis = np.linspace(0, 1, len(film), dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    open_field = np.ones_like(film)
    for distance, along in ((x, y), (1 - x, y), (y, x), (1 - y, x)):
        edge = rng.uniform(0.012, 0.045) + rng.normal(0, 0.006) * (along - 0.5)
        open_field = open_field * ramp(distance - edge, -0.002, 0.002)
    return np.asarray(0.03 + (film - 0.03) * open_field, np.float32)


def _mark_layout(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, tuple[int, int]]:
    """The burned-in word's font and position (left, top), px."""
    font = ImageFont.load_default(size=max(7, round(size * 0.020)))
    return font, (round(size * 0.055), round(size * 0.048))


def mark_synthetic(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Burn the word SYNTHETIC into the upper left corner, small, away from the stomach."""
    image = Image.fromarray(pixels)
    font, position = _mark_layout(len(pixels))
    ImageDraw.Draw(image).text(position, MARK, fill=MARK_GRAY, font=font)
    return np.asarray(image, np.uint8)


def mark_box(size: int) -> tuple[slice, slice]:
    """The rows and columns of a film that the burned-in word covers."""
    font, position = _mark_layout(size)
    blank = Image.new("L", (size, size))
    left, top, right, bottom = ImageDraw.Draw(blank).textbbox(position, MARK, font=font)
    return slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
