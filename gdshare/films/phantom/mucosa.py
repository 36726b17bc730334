"""The coated inside of the stomach: barium, folds and areae gastricae.

``coating`` is everything in the organ that does not depend on the diagnosis, ``mucosa`` everything
that does. Folds are a phase across the organ, disturbed by random fields: a small disturbance gives
fine parallel folds, a large one thick folds that wind, branch and break off. The amount is the
patient's severity, a normal deviate shifted up with gastritis and down without. The two groups
therefore overlap, and no classifier can be perfect.
"""

from dataclasses import dataclass

import numpy as np

from gdshare.films.phantom.fields import Field, Stream, bump, noise, ramp, sample, stream
from gdshare.films.phantom.stomach import Stomach

SEPARATION = 3.2  # of the two groups' mean severities, in deviations; see docs/results-archive.md


@dataclass(frozen=True)
class Organ:
    """A stomach on the grid of a film: each field float32 [H, W], see ``Stomach``."""

    depth: Field
    along: Field
    across: Field

    @classmethod
    def on_film(cls, stomach: Stomach, rows: Field, columns: Field) -> "Organ":
        """Sample a patient's stomach on the grid of a film."""
        return cls(
            sample(stomach.depth, rows, columns),
            sample(stomach.along, rows, columns),
            sample(stomach.across, rows, columns),
        )


@dataclass(frozen=True)
class Coating:
    """The content of the organ that does not depend on the diagnosis.

    Attributes:
        attenuation: of gas, rim and barium pools, float32 [H, W].
        clear: 0 where pooled barium hides the mucosa, 1 where it is visible, float32 [H, W].
    """

    attenuation: Field
    clear: Field


def coating(patient: int, stomach: Stomach, organ: Organ, rows: Field, columns: Field) -> Coating:
    """Draw the gas, the coated wall and the pools of barium of a patient's film."""
    rng = stream(Stream.CONTRAST, patient)
    x, y = columns[None, :], rows[:, None]
    inside = ramp(organ.depth, 0.0, 0.006)
    gas = -rng.uniform(0.14, 0.24) * inside * np.sqrt(ramp(organ.depth, -0.05, 0.14))
    patchy = noise(rng, 12, rows, columns)
    # Rays tangential to the wall cross the most barium; the thickness of the coating varies.
    cling = np.clip(0.75 + 0.35 * patchy + 0.25 * noise(rng, 40, rows, columns), 0.15, 1.8)
    rim = cling * (
        0.30 * bump(organ.depth - 0.004, 0.0036)
        + 0.10 * inside * np.exp(-np.maximum(organ.depth, 0) / 0.015)
    )
    film_of_barium = inside * (0.05 + 0.035 * noise(rng, 7, rows, columns))
    fx, fy, radius = stomach.fundus
    tilt = rng.normal(0, 0.25)
    level = fy + rng.uniform(-0.9, 0.35) * radius + tilt * (x - fx) + 0.012 * patchy
    pool = ramp(level - y, 0.0, rng.uniform(0.02, 0.07)) * ramp(organ.across, -0.9, 0.2)
    puddle = np.hypot(
        organ.across - rng.uniform(0.3, 0.9), (organ.along - rng.uniform(0.45, 0.8)) / 0.12
    )
    pool = np.maximum(pool, rng.uniform(0, 0.6) * ramp(puddle + 0.15 * patchy, 0.75, 0.2))
    pool = (pool * inside).astype(np.float32)
    flecks = ramp(noise(rng, 130, rows, columns), 2.9, 3.6) * inside * rng.uniform(0, 0.25)
    total = gas + rim + film_of_barium + pool * rng.uniform(0.40, 0.62) + flecks
    return Coating(total.astype(np.float32), (1 - 0.92 * pool).astype(np.float32))


@dataclass(frozen=True)
class MucosaLook:
    """The look of a patient's mucosa; most fields follow the severity, each with its own noise.

    Attributes:
        period: distance between neighbouring folds, in film sides.
        winding: how far folds shift sideways, in periods.
        breaking: how much they branch and break off; above 1 they lose their direction.
        unevenness: how much the fold height varies locally.
        grain: size of an area gastrica, in film sides.
        relief: contrast of the areae gastricae, in attenuation.
        visibility: contrast of the folds, in attenuation; from distension, not from disease.
    """

    period: float
    winding: float
    breaking: float
    unevenness: float
    grain: float
    relief: float
    visibility: float


def draw_look(rng: np.random.Generator, positive: bool) -> MucosaLook:
    """Draw a patient's look; the same stream gives the paired look for the other diagnosis."""
    shift = SEPARATION / 2 if positive else -SEPARATION / 2
    z = shift + rng.standard_normal() + 0.45 * rng.standard_normal(6)
    return MucosaLook(
        period=float(0.0355 * np.exp(np.clip(0.21 * z[0], -0.50, 0.55))),
        winding=float(0.36 * np.exp(np.clip(0.40 * z[1], -1.4, 0.9))),
        breaking=float(0.40 * np.exp(np.clip(0.42 * z[2], -1.4, 0.9))),
        unevenness=float(0.42 * np.exp(np.clip(0.26 * z[3], -1.0, 0.6))),
        grain=float(0.0125 * np.exp(np.clip(0.20 * z[4], -0.40, 0.50))),
        relief=float(0.055 * np.exp(np.clip(0.15 * z[5], -0.5, 0.5))),
        visibility=float(rng.uniform(0.13, 0.22)),
    )


def mucosa(patient: int, positive: bool, organ: Organ, rows: Field, columns: Field) -> Field:
    """The attenuation of folds and areae gastricae, zero at the wall: float32 [H, W]."""
    rng = stream(Stream.MUCOSA, patient)
    look = draw_look(rng, positive)
    folds = _folds(rng, look, organ, rows, columns)
    areae = _areae(rng, look, rows, columns)
    return ((folds + areae) * ramp(organ.depth, 0.004, 0.022)).astype(np.float32)


def _cells(length: float) -> int:
    """Lattice cells per side for features of this length, in film sides."""
    return max(2, round(1 / length))


def _folds(
    rng: np.random.Generator, look: MucosaLook, organ: Organ, rows: Field, columns: Field
) -> Field:
    """Bright grooves between raised folds along the organ: float32 [H, W]."""
    radius = 0.165  # of the body; folds converge where the organ narrows
    phase = 2 * np.pi * radius / look.period * organ.across + rng.uniform(0, 6.28)
    sway = noise(rng, _cells(2.4 * look.period), rows, columns)
    drift = noise(rng, _cells(0.16), rows, columns)
    phase = phase + 2 * np.pi * (look.winding * 0.55 * sway + (0.3 + 0.4 * look.winding) * drift)
    cells = _cells(1.6 * look.period)
    real = 1 + look.breaking * noise(rng, cells, rows, columns)
    imaginary = look.breaking * noise(rng, cells, rows, columns)
    phase += np.arctan2(imaginary, real)
    height = np.clip(1 + look.unevenness * noise(rng, cells, rows, columns), 0.1, 2.2)
    groove = np.exp(1.7 * (np.cos(phase) - 1)) - 0.42
    effaced = 0.35 + 0.65 * ramp(
        0.5 * noise(rng, 5, rows, columns) + 1.1 - 1.6 * organ.along, -0.6, 0.5
    )
    return np.asarray(look.visibility * height * effaced * groove, np.float32)


def _areae(rng: np.random.Generator, look: MucosaLook, rows: Field, columns: Field) -> Field:
    """The fine net of grooves between areae gastricae, of varying strength: float32 [H, W]."""
    field = noise(rng, _cells(look.grain), rows, columns)
    net = np.exp(-np.abs(field) * 2.2) - 0.32
    strength = np.clip(0.9 + 0.5 * noise(rng, 6, rows, columns), 0.1, 2.0)
    return np.asarray(2 * look.relief * strength * net, np.float32)
