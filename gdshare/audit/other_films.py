"""Another film of each patient, for line-ups: the own film exposed again, or a second film.

``exposed_again``
    A stand-in where a hospital has one film of each patient: the own windows as if the patient had
    stepped back and been exposed once more, in another contrast and brightness, turned, enlarged
    and moved a little, with noise of its own. It shows the same view of the same anatomy on the
    same day, and is easier to link than a second film.
``second_films``
    A cohort that was labelled from other films of the same patients, under the same names and by
    the same protocol. Who has no second film is in no line-up.

Whether a second film is another one is known only as far as its windows go: copies are refused,
whatever their file; a film that was edited before is not recognised.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gdshare.audit.candidates import MEASURED, Candidates, draw_rows
from gdshare.audit.membership import comparable_diagnoses
from gdshare.audit.patients import MIN_PATIENTS, Patients, patients_of
from gdshare.cohort import SPLITS, Cohort, Patches, windows_digest
from gdshare.errors import CohortError, UsageError
from gdshare.seeding import numpy_generator

FULL_SCALE = 65535
GAINS, OFFSETS = (0.75, 0.95), (-0.05, 0.05)
"""The second exposure's contrast about middle gray, and brightness, are drawn from these."""
TURNS, ZOOMS = (-3.0, 3.0), (0.97, 1.03)
"""Degrees, and magnification."""
SHIFT = 1.0
"""To any side, px of the patch."""
NOISE = 0.01
"""Standard deviation, of full scale."""
COPIED = 0.5
"""A film more of whose windows are windows of the cohort is a copy."""

Film = Literal["exposed-again", "second"]
Rows = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class OtherFilms:
    """The patients of whom there is another film.

    Attributes:
        people: they; their measured windows are those of the other film, and shadows learn from
            none of them.
        chosen: int64 [n], their numbers among the candidates of the audit.
        film: which other film.
        second_sha256: of the windows of the cohort of second films.
    """

    people: Candidates
    chosen: Rows
    film: Film
    second_sha256: str | None = None


@dataclass(frozen=True)
class SecondFilms:
    """A cohort of second films that fits the run's cohort.

    Attributes:
        parts: the patients of each split of it; a patient's split there means nothing.
        of: candidate's number in the audit -> number of the split, and of the patient in it.
        sha256: of its windows.
    """

    parts: tuple[Patients, ...]
    of: dict[int, tuple[int, int]]
    sha256: str


def exposed_again(candidates: Candidates, seed: int) -> OtherFilms:
    """Take the candidates' measured windows for those of a second exposure.

    Args:
        candidates: of the audit; everybody has such a film.
        seed: decides how each film differs.
    """
    measured, owners = candidates.measured, candidates.owners
    pixels = np.empty(measured.pixels.shape, np.uint16)
    for patient in range(len(candidates)):
        rows = np.flatnonzero(owners == patient)
        generator = numpy_generator(seed, "audit-second-exposure", patient)
        pixels[rows] = second_exposure(measured.pixels[rows], generator)
    other = Patches(pixels, measured.labels, measured.films)
    people = Candidates(candidates.member, candidates.positive, _none_of(other), other)
    return OtherFilms(people, np.arange(len(candidates)), "exposed-again")


def second_exposure(windows: Pixels, generator: np.random.Generator) -> Pixels:
    """The windows of a film as another exposure would show them.

    Args:
        windows: uint16 [n, side, side], [0, 1] as 0 to 65535.
        generator: draws contrast, brightness and position, the same for all windows of a film, and
            the noise of each.
    """
    gain, offset = generator.uniform(*GAINS), generator.uniform(*OFFSETS)
    moved = _moved(np.divide(windows, FULL_SCALE, dtype=np.float32), generator)
    noise = NOISE * generator.standard_normal(moved.shape, np.float32)
    exposed = (0.5 + gain * (moved - 0.5) + offset + noise).clip(0.0, 1.0)
    return np.asarray(np.rint(exposed * FULL_SCALE), np.uint16)


def _moved(
    windows: npt.NDArray[np.float32], generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Turned, enlarged and moved, bilinear; what comes in at an edge repeats it."""
    turn, zoom = np.radians(generator.uniform(*TURNS)), generator.uniform(*ZOOMS)
    towards = generator.uniform(0.0, 2.0 * np.pi)
    middle = (windows.shape[-1] - 1) / 2.0
    down, right = np.indices(windows.shape[1:]) - middle  # [side, side]
    places = np.stack(
        [
            (down * np.cos(turn) + right * np.sin(turn)) / zoom + SHIFT * np.sin(towards),
            (right * np.cos(turn) - down * np.sin(turn)) / zoom + SHIFT * np.cos(towards),
        ]
    )
    at = (places + middle).clip(0.0, 2.0 * middle)  # [2, side, side]
    first = np.minimum(at.astype(np.int64), windows.shape[-1] - 2)
    (row, column), (lower, later) = first, (at - first).astype(np.float32)
    above = windows[:, row, column] * (1 - later) + windows[:, row, column + 1] * later
    below = windows[:, row + 1, column] * (1 - later) + windows[:, row + 1, column + 1] * later
    return np.asarray(above * (1 - lower) + below * lower, np.float32)


def open_second(cohort: Cohort, second: Cohort) -> SecondFilms:
    """Find the cohort's patients in a cohort of second films.

    Args:
        cohort: that the run was distilled from.
        second: labelled from other films of the same patients; its splits mean nothing.

    Raises:
        UsageError: it was labelled by another protocol.
        CohortError: too few patients have a second film, or a diagnosis differs, or films are
            copies of the cohort's.
    """
    try:
        cohort.protocol.require_same(second.protocol, str(second.path))
    except UsageError as error:
        raise UsageError(
            f"these second films were labelled by another protocol: {error.what}",
            second.path,
            "label them with the options of the run's cohort",
        ) from error
    own = [patients_of(cohort, split) for split in ("train", "test")]
    parts = tuple(patients_of(second, split) for split in SPLITS)
    at = {
        name: (number, place)
        for number, part in enumerate(parts)
        for place, name in enumerate(part.names)
    }
    names = [name for part in own for name in part.names]
    of = {number: at[name] for number, name in enumerate(names) if name in at}
    positive = np.concatenate([part.positive for part in own])
    chosen = np.array(sorted(of), np.int64)
    _require_enough(positive[chosen], chosen < len(own[0]), second)
    there = np.array([parts[of[own][0]].positive[of[own][1]] for own in chosen.tolist()])
    if differing := int((there != positive[chosen]).sum()):
        raise CohortError(
            f"patients who have another diagnosis than in the run's cohort: {differing}",
            second.path,
            "leave their second films out, or correct the table",
        )
    _require_other_films(own, parts, of, second)
    return SecondFilms(parts, of, windows_digest(second, SPLITS))


def second_films(found: SecondFilms, candidates: Candidates, seed: int) -> OtherFilms:
    """Draw the windows of second films that statistics are taken on.

    Args:
        found: whose second films there are.
        candidates: of the audit.
        seed: decides which.
    """
    generator = numpy_generator(seed, "audit-second-films")
    chosen = np.array(sorted(found.of), np.int64)
    pixels, labels, owners = [], [], []
    for place, number in enumerate(chosen.tolist()):
        split, patient = found.of[number]
        part = found.parts[split]
        rows = part.rows[patient]
        own = [rows[part.patches.labels[rows] == label] for label in range(3)]
        drawn = np.sort(np.concatenate([draw_rows(each, MEASURED, generator) for each in own]))
        pixels.append(part.patches.pixels[drawn])
        labels.append(part.patches.labels[drawn])
        owners.append(np.full(len(drawn), place, np.uint32))
    other = Patches(np.concatenate(pixels), np.concatenate(labels), np.concatenate(owners))
    people = Candidates(
        candidates.member[chosen], candidates.positive[chosen], _none_of(other), other
    )
    return OtherFilms(people, chosen, "second", found.sha256)


def _none_of(patches: Patches) -> Patches:
    return Patches(patches.pixels[:0], patches.labels[:0], patches.films[:0])


def _require_enough(
    positive: npt.NDArray[np.bool_], member: npt.NDArray[np.bool_], second: Cohort
) -> None:
    if not comparable_diagnoses(positive[member], positive[~member]):
        raise CohortError(
            f"has second films of {int(member.sum())} training and {int((~member).sum())} test "
            f"patients of the run's cohort; a line-up needs {MIN_PATIENTS} of each of the same "
            "diagnosis",
            second.path,
            "label second films of more of its patients, under the same names",
        )


def _require_other_films(
    own: list[Patients],
    parts: tuple[Patients, ...],
    of: dict[int, tuple[int, int]],
    second: Cohort,
) -> None:
    known = {window for part in own for window in _windows(part.patches)}
    copies = 0
    for number, part in enumerate(parts):
        wanted = [part.rows[patient] for split, patient in of.values() if split == number]
        rows = np.sort(np.concatenate([np.empty(0, np.int64), *wanted]))
        films = part.patches.films[rows]
        for film in np.unique(films):
            windows = list(_windows(part.patches, rows[films == film]))
            copied = sum(window in known for window in windows)
            copies += bool(windows) and copied > COPIED * len(windows)
    if copies:
        raise CohortError(
            f"films that are films of the run's cohort too: {copies}",
            second.path,
            "label other films of these patients",
        )


def _windows(patches: Patches, rows: Rows | None = None) -> Iterator[bytes]:
    """A digest of each window that is not of one gray alone: black corners are alike everywhere."""
    for row in range(len(patches)) if rows is None else rows:
        window = np.ascontiguousarray(patches.pixels[row])
        if window.min() < window.max():
            yield hashlib.blake2b(window.data, digest_size=16).digest()
