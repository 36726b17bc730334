"""The outline of a fish-hook stomach, and coordinates along and across it.

The organ is a chain of discs along a curved centre line: fundus under the left diaphragm (on the
right of the film), body, sinus, antrum, pylorus. Nothing here depends on the diagnosis.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from gdshare.films.phantom.fields import Field, Stream, lattice_nodes, sample, stream

# Centre line (x, y) and radius from fundus to pylorus, in film sides: a composite of the organ's
# position in upright and supine films with gas, drawn by eye and from no patient.
_HOOK = np.array(
    [
        (0.665, 0.190, 0.150),
        (0.660, 0.320, 0.185),
        (0.635, 0.460, 0.185),
        (0.590, 0.600, 0.170),
        (0.500, 0.720, 0.150),
        (0.380, 0.740, 0.120),
        (0.290, 0.685, 0.080),
        (0.225, 0.600, 0.026),
    ]
)
_DISCS = 140
_CELLS = 160  # lattice cells per side for computing the outline, at any size of the film
_MARGIN = 0.075  # smallest distance of the organ from the film's edge, in film sides


@dataclass(frozen=True)
class Stomach:
    """A patient's stomach over the unit square; fields are lattices for ``sample``.

    Attributes:
        depth: distance from the wall, positive inside, in film sides.
        along: arc length from the fundus, in film sides.
        across: -1 at the lesser curvature, +1 at the greater curvature, 0 on the centre line.
        length: arc length of the centre line, in film sides.
        pylorus: (x, y) of the outlet, where the duodenum begins.
        fundus: (x, y, radius) of the first disc.
    """

    depth: Field
    along: Field
    across: Field
    length: float
    pylorus: tuple[float, float]
    fundus: tuple[float, float, float]


def _centre_line(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Draw a patient's discs: float64 [_DISCS, 3] of x, y, radius."""
    points = _HOOK.copy()
    wander = np.cumsum(rng.normal(0, 0.008, (len(points), 2)), axis=0)
    points[:, :2] += wander - wander.mean(axis=0)
    points[:, :2] += rng.normal(0, 0.010, (len(points), 2))
    # A long hook hangs low and turns up; a steer-horn lies transversely.
    hook = rng.normal(0, 0.035)
    points[4:, 1] += hook * np.array([0.5, 0.3, -0.4, -1.0])
    points[:, 2] *= rng.uniform(0.88, 1.10) * np.exp(rng.normal(0, 0.05, len(points)))
    t = np.linspace(0, 1, len(points))
    discs = CubicSpline(t, points)(np.linspace(0, 1, _DISCS))
    discs[:, 2] = np.maximum(discs[:, 2], 0.02)
    wave = np.linspace(0, 1, _DISCS)
    squeeze = np.clip((wave - 0.55) * 3, 0, 1) * rng.uniform(0.0, 0.13)
    discs[:, 2] *= 1 + squeeze * np.sin(wave * rng.uniform(30, 45) + rng.uniform(0, 6.28))
    return _inside_film(discs)


def _inside_film(
    discs: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Shrink and shift the discs into the film's margins: float64 [n, 3]."""
    low = (discs[:, :2] - discs[:, 2:]).min(axis=0)
    high = (discs[:, :2] + discs[:, 2:]).max(axis=0)
    room = 1 - 2 * _MARGIN
    scale = min(1.0, float((room / (high - low)).min()))
    centre = (low + high) / 2
    shrunk = discs * scale
    shrunk[:, :2] += centre - centre * scale
    half = (high - low) / 2 * scale
    shrunk[:, :2] += np.clip(centre, _MARGIN + half, 1 - _MARGIN - half) - centre
    return shrunk


def draw_stomach(patient: int) -> Stomach:
    """Draw the stomach of a patient (at least 0); it does not depend on the diagnosis."""
    rng = stream(Stream.STOMACH, patient)
    discs = _centre_line(rng).astype(np.float32)
    nodes = lattice_nodes(_CELLS)
    x, y = nodes[None, :], nodes[:, None]
    steps = np.gradient(discs[:, :2], axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    tangents = steps / lengths[:, None]
    arc = np.concatenate([[0], np.cumsum((lengths[1:] + lengths[:-1]) / 2)])
    depth = np.full((len(nodes), len(nodes)), -9, np.float32)
    along, across = np.zeros_like(depth), np.zeros_like(depth)
    for (cx, cy, radius), (tx, ty), s in zip(discs, tangents, arc, strict=True):
        dx, dy = x - cx, y - cy
        inside = radius - np.sqrt(dx * dx + dy * dy)
        nearer = inside > depth
        depth = np.where(nearer, inside, depth)
        along = np.where(nearer, s + tx * dx + ty * dy, along)
        across = np.where(nearer, (tx * dy - ty * dx) / radius, across)
    depth += _wall_wobble(rng, nodes)
    return Stomach(
        depth.astype(np.float32),
        along.astype(np.float32),
        across.astype(np.float32),
        float(arc[-1]),
        (float(discs[-1, 0]), float(discs[-1, 1])),
        (float(discs[0, 0]), float(discs[0, 1]), float(discs[0, 2])),
    )


def _wall_wobble(rng: np.random.Generator, nodes: Field) -> Field:
    """Draw small irregularities of the wall, in film sides: float32 [n, n] at the n nodes."""
    coarse = rng.standard_normal((13, 13), np.float32) * np.float32(0.010)
    fine = rng.standard_normal((31, 31), np.float32) * np.float32(0.005)
    return sample(coarse, nodes, nodes) + sample(fine, nodes, nodes)
