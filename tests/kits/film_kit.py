"""Small films with masks, for tests that need real files."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.protocol import Protocol

SIDE = 64
PROTOCOL = Protocol(patch=16, stride=8, side=16)


def write_films(folder: Path, patients: int = 12, films_each: int = 1, masks: bool = True) -> Path:
    """Write films and masks; return the path of the table.

    Bars are horizontal outside the organ and vertical inside; inside the organ of positive patients
    (odd numbers) they cross. Patterns rather than gray levels, since a network that normalises each
    image cannot see a level.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:32] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["patient", "image", "mask", "diagnosis"])
        for number in range(patients * films_each):
            patient, positive = number // films_each, number // films_each % 2 == 1
            film = rng.normal(60, 5, (SIDE, SIDE))
            bars = 60 * (np.arange(SIDE) % 8 < 4)
            film[32:] += bars[:32, None]
            film[:32] += bars[None, :]
            film[:32] += bars[:32, None] * positive
            Image.fromarray(film.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
            diagnosis = "positive" if positive else "negative"
            table.writerow(
                [f"patient-{patient}", f"{number}.png", "mask.png" if masks else "", diagnosis]
            )
    return folder / "labels.csv"


def small_cohort(folder: Path, patients: int = 12, protocol: Protocol = PROTOCOL) -> Cohort:
    """A labelled cohort of these films with a third of the patients in each split."""
    thirds = (1 / 3, 1 / 3, 1 / 3)
    label_cohort(write_films(folder / "films", patients), folder / "cohort", protocol, thirds, 0)
    return open_cohort(folder / "cohort")
