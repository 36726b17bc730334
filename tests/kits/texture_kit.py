"""Films of which each patient's have a texture of their own, so that something can leak."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.protocol import Protocol

SIDE = 96
TEXTURED = Protocol(patch=16, stride=8, side=16)


def write_textured_films(films: Path, patients: int = 48, exposure: int = 0) -> Path:
    """Write films and masks of which the diagnosis shows faintly, and patients clearly.

    The upper half of a film is the organ. Odd numbers are positive: a faint grating in the organ.
    Over every film lie three gratings of random direction, frequency and phase, the patient's own.
    Films of another exposure have other noise, and lie two pixels further to the right. Returns the
    path of the table.
    """
    films.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    down, right = np.mgrid[:SIDE, :SIDE].astype(float)
    with (films / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["patient", "image", "mask", "diagnosis"])
        for number in range(patients):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[: SIDE // 2, : SIDE - number % 3] = 255
            Image.fromarray(mask).save(films / f"mask-{number}.png")
            noise = rng.normal(0, 6, (SIDE, SIDE))
            if exposure:
                noise = np.random.default_rng([exposure, number]).normal(0, 6, (SIDE, SIDE))
            film = 128 + noise
            for _ in range(3):
                angle, period, phase = rng.uniform(0, np.pi), rng.uniform(4, 12), rng.uniform(0, 6)
                along = (right - 2 * exposure) * np.cos(angle) + down * np.sin(angle)
                film += 22 * np.sin(2 * np.pi * along / period + phase)
            film[SIDE // 2 :] += 10 * np.sin(right[SIDE // 2 :])
            if number % 2:
                film[: SIDE // 2] += 14 * np.sin(2 * down[: SIDE // 2])
            Image.fromarray(film.clip(0, 255).astype(np.uint8)).save(films / f"{number}.png")
            diagnosis = "positive" if number % 2 else "negative"
            table.writerow([f"p-{number}", f"{number}.png", f"mask-{number}.png", diagnosis])
    return films / "labels.csv"


def textured_cohort(
    folder: Path,
    patients: int = 48,
    protocol: Protocol = TEXTURED,
    fractions: tuple[float, float, float] = (0.5, 0.15, 0.35),
) -> Cohort:
    """A labelled cohort of these films."""
    table = write_textured_films(folder / "films", patients)
    label_cohort(table, folder / "cohort", protocol, fractions, 0)
    return open_cohort(folder / "cohort")
