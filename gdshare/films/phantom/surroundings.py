"""Everything around the stomach: soft tissue, spine, ribs, lung bases, bowel gas, duodenum.

Each function returns X-ray attenuation (denser is larger and brighter), float32 [H, W], on the grid
of ``rows`` [H] and ``columns`` [W], float32, in film sides. None depends on the diagnosis.
"""

import numpy as np

from gdshare.films.phantom.fields import Field, Stream, bump, noise, ramp, stream
from gdshare.films.phantom.stomach import Stomach


def surroundings(patient: int, stomach: Stomach, rows: Field, columns: Field) -> Field:
    """Everything around, in front of and behind the stomach of a patient."""
    layers = _tissue(patient, rows, columns)
    layers += _bones(patient, rows, columns)
    layers += _bowel(patient, stomach, rows, columns)
    return layers


def _tissue(patient: int, rows: Field, columns: Field) -> Field:
    """Soft tissue, with the liver on the left of the film and air above the diaphragm's domes."""
    rng = stream(Stream.TISSUE, patient)
    x, y = columns[None, :], rows[:, None]
    tissue = 0.62 + 0.05 * noise(rng, 3, rows, columns) + 0.025 * noise(rng, 9, rows, columns)
    tissue += 0.012 * noise(rng, 40, rows, columns)
    liver = np.hypot((x - rng.uniform(0.10, 0.22)) / 0.30, (y - rng.uniform(0.28, 0.38)) / 0.30)
    tissue += rng.uniform(0.06, 0.13) * ramp(liver, 1.1, 0.8)
    flank = np.abs(x - rng.uniform(0.46, 0.52))
    tissue -= 0.22 * ramp(flank + 0 * y, 0.36, 0.60)
    right = rng.uniform(0.02, 0.12) + 1.3 * np.square(x - rng.uniform(0.14, 0.22))
    left = rng.uniform(0.0, 0.09) + 1.3 * np.square(x - rng.uniform(0.74, 0.82))
    below = y - np.minimum(right, left) + 0.004 * noise(rng, 7, rows, columns)
    tissue -= rng.uniform(0.18, 0.30) * ramp(below, 0.014, -0.014)
    return tissue.astype(np.float32)


def _bones(patient: int, rows: Field, columns: Field) -> Field:
    """The spine, vertebra by vertebra, and the lower ribs."""
    rng = stream(Stream.BONES, patient)
    x, y = columns[None, :], rows[:, None]
    bend = rng.normal(0, 0.02) * np.sin(3 * y + rng.uniform(0, 6.28)) + rng.normal(0, 0.02) * y
    middle = rng.uniform(0.40, 0.46) + bend
    half, pitch = rng.uniform(0.060, 0.072), rng.uniform(0.115, 0.140)
    turn = (y / pitch + rng.uniform(0, 1)) % 1.0
    waist = half * (1 - 0.13 * np.sin(np.pi * turn) ** 2)
    side = np.abs(x - middle)
    body = ramp(side - waist, 0.006, -0.008)
    disc = ramp(np.abs(turn - 0.5), 0.36, 0.42)
    plate = bump(np.abs(turn - 0.5) - 0.37, 0.035)
    bones = body * (0.24 - 0.10 * disc + 0.07 * plate) + 0.05 * bump(side - waist, 0.006)
    pedicle = np.hypot((side - 0.6 * half) / 0.016, (turn - 0.36) * pitch / 0.022)
    bones += 0.05 * bump(pedicle - 0.85, 0.35)
    spinous = np.hypot((x - middle) / 0.011, (turn - 0.66) * pitch / 0.03)
    bones += 0.08 * ramp(spinous, 1.2, 0.7)
    process = ramp(side, half, half + 0.01) * ramp(side, half + 0.075, half + 0.05)
    bones += 0.07 * process * bump((turn - 0.45) * pitch - 0.15 * (side - half), 0.014)
    bones += _ribs(rng, x, y, middle)
    return (
        bones * (1 + 0.16 * noise(rng, 60, rows, columns) + 0.12 * noise(rng, 14, rows, columns))
    ).astype(np.float32)


def _ribs(rng: np.random.Generator, x: Field, y: Field, middle: Field) -> Field:
    """Four ribs per side: bands that slope down from the spine, with bright cortical edges."""
    ribs = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    spacing, fall = rng.uniform(0.115, 0.140), rng.uniform(0.65, 1.0)
    for sign in (-1.0, 1.0):
        away = sign * (x - middle)
        start = rng.uniform(-0.24, -0.12)
        for k in range(4):
            line = start + k * spacing + fall * away - 0.55 * np.square(away)
            gap = np.abs(y - line)
            reach = ramp(away, 0.09, 0.13) * ramp(away, 0.62 - 0.07 * k, 0.55 - 0.07 * k)
            width = 0.017 + 0.006 * away
            ribs += reach * (
                0.055 * ramp(gap - width, 0.004, -0.004) + 0.05 * bump(gap - width, 0.004)
            )
    return ribs


def _bowel(patient: int, stomach: Stomach, rows: Field, columns: Field) -> Field:
    """Gas in the bowel, and barium that has already passed into the duodenum."""
    rng = stream(Stream.BOWEL, patient)
    x, y = columns[None, :], rows[:, None]
    ragged = noise(rng, 22, rows, columns) + 0.5 * noise(rng, 50, rows, columns)
    gas = np.zeros((len(rows), len(columns)), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        # A chain of bubbles along a piece of colon, separated by its haustra.
        cx = rng.uniform(-0.02, 0.28) if rng.random() < 0.5 else rng.uniform(0.72, 1.02)
        cy, angle = rng.uniform(0.45, 1.0), rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(2, 6))):
            radius, stretch = rng.uniform(0.018, 0.042), rng.uniform(0.7, 1.4)
            distance = np.hypot((x - cx) * stretch, (y - cy) / stretch) / radius
            gas = np.maximum(gas, rng.uniform(0.5, 1.0) * ramp(distance + 0.16 * ragged, 1.1, 0.5))
            angle += rng.normal(0, 0.5)
            cx, cy = cx + 1.5 * radius * np.cos(angle), cy + 1.5 * radius * np.sin(angle)
    wall = gas * (1 - gas)
    return -0.17 * gas + 0.06 * wall + _duodenum(rng, stomach, x, y, ragged)


def _duodenum(
    rng: np.random.Generator, stomach: Stomach, x: Field, y: Field, ragged: Field
) -> Field:
    """The duodenal cap and the feathered loop below it, thinly coated with barium."""
    px, py = stomach.pylorus
    cap = np.hypot((x - px + 0.030) / 0.044, (y - py + 0.040) / 0.034) + 0.14 * ragged
    barium = rng.uniform(0.03, 0.20) * ramp(cap, 1.15, 0.5) + 0.06 * bump(cap - 1.0, 0.13)
    cx, cy = px - rng.uniform(0.0, 0.05), py + rng.uniform(0.10, 0.16)
    around = np.arctan2(y - cy, x - cx)
    gap = np.abs(np.hypot((x - cx) / rng.uniform(0.6, 0.9), y - cy) - 0.13 + 0.010 * ragged)
    loop = ramp(gap, 0.034, 0.008) * ramp(np.cos(around), 0.35, -0.35)
    feather = np.clip(0.5 + 0.30 * np.sin(around * 30 + 4.0 * ragged) + 0.25 * ragged, 0, 1.2)
    return np.asarray(barium + rng.uniform(0.02, 0.15) * loop * feather, np.float32)
