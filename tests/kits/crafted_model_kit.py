"""Models that an attacker crafts to read single films out of counts: random features, fitted heads.

Films are textures that differ from patient to patient, and the attacker's copy of one is noisy.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from site_kit import FILM, PROTOCOL

from gdshare.cohort import label_cohort
from gdshare.films import read_film
from gdshare.model import Model
from gdshare.networks import Parameters, build, draw
from gdshare.patches import Grid, film_patches, normalise
from gdshare.protocol import PatchClass

COPY_NOISE = 2.0
"""Deviation of the noise on the attacker's copy, in levels of 0 to 255."""
Pixels = npt.NDArray[np.uint8]
Ask = Callable[[Model], list[int]]
"""Have a node count validation films with a model: films called positive at every threshold."""


def texture(random: np.random.Generator) -> Pixels:
    """A film that no other looks like."""
    coarse = random.normal(0, 30, (16, 16)).repeat(4, 0).repeat(4, 1)
    film = 110 + coarse + random.normal(0, 12, (FILM, FILM))
    return film.clip(0, 255).astype(np.uint8)


def noisy(film: Pixels, random: np.random.Generator) -> Pixels:
    """The attacker's copy."""
    copy = film.astype(float) + random.normal(0, COPY_NOISE, film.shape)
    return copy.clip(0, 255).astype(np.uint8)


def cohort_of(folder: Path, validation: list[Pixels], elsewhere: list[Pixels]) -> Path:
    """A cohort of these validation films, half of them positive; the others are training films."""
    folder.mkdir(parents=True)
    mask = np.zeros((FILM, FILM), np.uint8)
    mask[:32] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    films = [(film, "val") for film in validation] + [(film, "train") for film in elsewhere]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["patient", "image", "mask", "diagnosis", "split"])
        for number, (film, split) in enumerate(films):
            Image.fromarray(film).save(folder / f"{number}.png")
            diagnosis = ("negative", "positive")[number % 2]
            rows.writerow([f"patient-{number}", f"{number}.png", "mask.png", diagnosis, split])
    label_cohort(folder / "labels.csv", folder / "cohort", PROTOCOL)
    return folder / "cohort"


def windows(film: Pixels, folder: Path) -> npt.NDArray[np.float32]:
    """A film's windows as a node cuts them, float32 [windows, side, side]."""
    path = folder / "one.png"
    Image.fromarray(film).save(path)
    read = read_film(path, None)
    grid = Grid.on(read, PROTOCOL)
    rows = film_patches(read, grid, PROTOCOL)
    return np.concatenate([normalise(row, PROTOCOL) for row in rows])


class Crafted:
    """A network of random features, to which heads are fitted."""

    def __init__(self, seed: int) -> None:
        self.module = build("convnet", PROTOCOL.side)
        self.theta0 = draw("convnet", self.module, torch.Generator().manual_seed(seed))
        self.head = list(self.theta0)[-2:]  # weight and bias of the last layer

    def features(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The last layer's inputs, float64 [windows, features]."""
        parameters = {name: w for name, w in self.theta0.items() if name not in self.head}
        body = self.module[:-1]  # type: ignore[index]
        x = torch.from_numpy(patches).unsqueeze(1)
        with torch.inference_mode():
            return torch.func.functional_call(body, parameters, (x,)).numpy().astype(float)

    def recognise(
        self, copy: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
    ) -> Parameters:
        """Call windows with the copy's features P and all others N."""
        x = np.concatenate([copy, others])
        target = np.repeat([1.0, -1.0], [len(copy), len(others)])
        weights = np.where(target > 0, len(others) / len(copy), 1.0)[:, None]
        padded = np.hstack([x, np.ones((len(x), 1))])
        gram = padded.T @ (weights * padded) + 1e-4 * np.eye(padded.shape[1])
        return self.with_head(np.linalg.solve(gram, padded.T @ (weights[:, 0] * target)))

    def above(self, feature: int, value: float) -> Parameters:
        """Call a window P if one of its features is above a value, else N."""
        head = np.zeros(len(self.features(np.zeros((1, 8, 8), np.float32))[0]) + 1)
        head[feature], head[-1] = 1.0, -value
        return self.with_head(head)

    def with_head(self, head: npt.NDArray[np.float64]) -> Parameters:
        """P where the head, weights and then bias, is above 0; else N."""
        weight, bias = (torch.zeros_like(self.theta0[name]) for name in self.head)
        weight[PatchClass.P], bias[PatchClass.P] = torch.from_numpy(head[:-1]), head[-1]
        bias[PatchClass.I] = -1e6
        return self.theta0 | dict(zip(self.head, (weight, bias), strict=True))


def model(parameters: Parameters) -> Model:
    return Model("convnet", PROTOCOL, (parameters,))
