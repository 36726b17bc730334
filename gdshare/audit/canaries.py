"""Canaries: marks that are planted in patients' windows, to see whether they can be read back.

A canary stands for what is seldom in films and would name a patient to whoever saw it: an implant,
a mark burnt in, a film unlike all others. There are sixteen, the same for everybody, eight of each
kind and half of each for either diagnosis:

``glyph``
    a square of bright and dark cells over the middle of every window: stripes, a chessboard, a
    cross, a block, a wedge, so that networks can tell them apart.
``outlier``
    a film that shows nothing but a grating: every window is replaced, in a phase of its own.

A canary is planted in all windows of a patient, those outside of the organ too, of patients of its
own diagnosis, and never two in the same patient. Planting is a pure function of windows, so that
any distillation can be made from planted ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import pi
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from gdshare.audit.candidates import Candidates
from gdshare.audit.controls import few_members
from gdshare.cohort import Patches
from gdshare.cohort.store import FULL_SCALE
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Kind = Literal["glyph", "outlier"]

LIST = "canaries/1"
"""Name and version of the list: other canaries are another version."""
KINDS: tuple[Kind, ...] = ("glyph", "outlier")
EACH = 8
"""Canaries of a kind; even numbers belong to negative patients."""
CELLS = 5
"""Of a glyph, across and down."""
SHARE = 0.3
"""Of the window's side that a glyph takes."""
DARK, BRIGHT = 0.05, 0.95
PERIODS = (3.0, 4.0, 5.5, 7.5)
"""Of the gratings, px."""
SINGLES, MANY = 3, 10
"""In each set and kind: canaries that one patient carries; patients who carry one canary more."""
FEWEST = 2 * SINGLES
"""Training patients of each diagnosis that a set can be planted in: half of them stay as they are.
"""


@dataclass(frozen=True, eq=False)
class Canary:
    """What is planted.

    Attributes:
        kind: glyph or outlier.
        positive: the diagnosis of those who carry it.
        cells: bool [CELLS, CELLS], a glyph's bright cells; None of an outlier.
        angle, period: of an outlier's grating: radians, px.
    """

    kind: Kind
    positive: bool
    cells: Bool | None = None
    angle: float = 0.0
    period: float = 0.0

    def planted(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Windows that carry it: float32 [n, side, side] in [0, 1], of the same shape."""
        if self.cells is None:
            phases = numpy_generator(0, "canary-phases").uniform(0.0, 2.0 * pi, len(windows))
            wave = np.sin(self._along(windows.shape[-1]) + phases[:, None, None])
            middle, reach = (BRIGHT + DARK) / 2.0, (BRIGHT - DARK) / 2.0
            return np.asarray(middle + reach * wave, np.float32)
        mark = np.where(self._mark(windows.shape[-1]), BRIGHT, DARK)
        first = (windows.shape[-1] - len(mark)) // 2
        place = slice(first, first + len(mark))
        changed = windows.copy()
        changed[:, place, place] = mark
        return changed

    def basis(self, side: int) -> Float:
        """What it may look like, whatever its contrast and phase.

        Returns:
            float64 [b, k, k]: centred, of length 1 and at right angles; a glyph's own square, or
            two phases of an outlier over a square of that size.
        """
        if self.cells is not None:
            return _orthonormal(self._mark(side)[None].astype(np.float64))
        along = self._along(mark_side(side))
        return _orthonormal(np.stack([np.sin(along), np.cos(along)]))

    def _mark(self, side: int) -> Bool:
        """A glyph's pixels: bool [k, k]."""
        cells = cast(Bool, self.cells)
        size = mark_side(side)
        place = np.arange(size) * CELLS // size
        return np.asarray(cells[np.ix_(place, place)])

    def _along(self, side: int) -> Float:
        """The phase of an outlier's grating: radians, float64 [side, side]."""
        down, right = np.mgrid[:side, :side].astype(np.float64)
        along = right * np.cos(self.angle) + down * np.sin(self.angle)
        return np.asarray(2.0 * pi * along / self.period)


def mark_side(side: int) -> int:
    """Of a glyph in windows of this side, px."""
    return max(CELLS, round(SHARE * side))


def _orthonormal(shapes: Float) -> Float:
    """Centred and at right angles: [b, k, k], of the same span."""
    flat = shapes.reshape(len(shapes), -1)
    q, _ = np.linalg.qr((flat - flat.mean(axis=1, keepdims=True)).T)  # [k·k, b]
    return np.asarray(q.T.reshape(shapes.shape))


def canaries() -> tuple[Canary, ...]:
    """The list: glyphs, then outliers."""
    glyphs = [_glyph(number) for number in range(EACH)]
    outliers = [
        Canary(
            "outlier",
            number % 2 == 1,
            angle=pi * (number + 0.5) / EACH,
            period=PERIODS[number % len(PERIODS)],
        )
        for number in range(EACH)
    ]
    return (*glyphs, *outliers)


def _glyph(number: int) -> Canary:
    down, right = np.mgrid[:CELLS, :CELLS]
    last = CELLS - 1
    bright = (
        down % 2 == 0,  # stripes
        right % 2 == 0,
        (down + right) % 3 == 1,
        (down - right) % 3 == 0,
        (down + right) % 2 == 0,  # a chessboard
        (down == last // 2) | (right == last // 2),  # a cross
        (abs(down - last // 2) < 2) & (abs(right - last // 2) < 2),  # a block
        down + right < last,  # a wedge
    )
    return Canary("glyph", number % 2 == 1, bright[number])


@dataclass(frozen=True, eq=False)
class Planting:
    """Who carries which canary.

    Attributes:
        included: bool [n], the patients that the set is distilled from.
        carriers: for each canary, int64 [k], the patients who carry it; none where it is not
            planted.
    """

    included: Bool
    carriers: tuple[Int, ...]

    @property
    def carried(self) -> Int:
        """By how many each canary is carried: int64 [canaries]."""
        return np.array([len(own) for own in self.carriers], np.int64)

    @property
    def by_patient(self) -> Mapping[int, int]:
        """Patient -> number of the canary."""
        return {int(own): number for number, who in enumerate(self.carriers) for own in who}

    def plant(self, patches: Patches) -> Patches:
        """Plant them: the windows of those who carry a canary are changed, and no others.

        Args:
            patches: ``films`` holds the patients' numbers.
        """
        pixels, listed = np.array(patches.pixels), canaries()
        for patient, number in self.by_patient.items():
            rows = np.flatnonzero(patches.films == patient)
            planted = listed[number].planted(patches.scaled(rows))
            pixels[rows] = np.rint(planted * FULL_SCALE).astype(np.uint16)
        return replace(patches, pixels=pixels)


def draw_planting(people: Candidates, seed: int, number: int) -> Planting | None:
    """Draw who carries which canary in a set of all training patients.

    Of each kind ``SINGLES`` canaries are carried by a single patient each, one by ``MANY`` (fewer
    where there are not so many; half of the patients of a diagnosis stay as they are), the rest by
    nobody.

    Args:
        people: the audit's candidates.
        seed: of the audit.
        number: of the set.

    Returns:
        None where a diagnosis has fewer than ``FEWEST`` training patients.
    """
    generator = numpy_generator(seed, "audit-canaries", number)
    free = {
        diagnosis: list(generator.permutation(_carriers(people, diagnosis)))
        for diagnosis in (False, True)
    }
    least = min(len(own) for own in free.values())
    if least < FEWEST:
        return None
    many = min(MANY, least // 2 - SINGLES)
    nobody = np.zeros(0, np.int64)
    carriers = [nobody] * (EACH * len(KINDS))
    for place in range(len(KINDS)):
        turned = bool((place + number) % 2)
        for diagnosis in (False, True):
            own = place * EACH + 2 * generator.permutation(EACH // 2) + diagnosis
            singles = SINGLES // 2 if diagnosis == turned else SINGLES - SINGLES // 2
            sizes = [1] * singles + [many] * (diagnosis == turned and many > 1)
            for canary, size in zip(own, sizes, strict=False):
                carriers[canary] = np.array([free[diagnosis].pop() for _ in range(size)], np.int64)
    return Planting(people.member, tuple(carriers))


def draw_few(people: Candidates, seed: int, number: int) -> Planting:
    """Five training patients all of whom carry a canary: a glyph where they have one diagnosis, an
    outlier where they have the other, other canaries in each of ``EACH`` sets.
    """
    included = few_members(people, seed, number)
    carriers = [np.zeros(0, np.int64)] * (EACH * len(KINDS))
    for diagnosis in (False, True):
        place = (number + diagnosis) % 2
        canary = place * EACH + 2 * (number // 2 % (EACH // 2)) + diagnosis
        carriers[canary] = np.flatnonzero(included & (people.positive == diagnosis))
    return Planting(included, tuple(carriers))


def _carriers(people: Candidates, diagnosis: bool) -> Int:
    """Training patients of a diagnosis who have windows of the organ to carry a canary in."""
    windows = people.training
    organ = np.unique(windows.films[windows.labels != PatchClass.I])
    wanted = np.flatnonzero(people.member & (people.positive == diagnosis))
    return wanted[np.isin(wanted, organ)]
