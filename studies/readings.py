"""Features of windows, computed once: of patients, of films to judge by, and of drawn ones.

Images of PneumoniaMNIST are read too, each as a film and a patient with a single window. They have
no class I, so where one is needed it is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.tasks import PNEUMONIA, PNEUMONIA_SIDE, data_digest, pneumonia_split
from gdshare.cohort.split import Split
from gdshare.distill.head import Body, Head
from gdshare.last_layer import one_hot, solve
from gdshare.method import Settings
from gdshare.private.reference import Drawing, Reference, draw_reference
from gdshare.private.run import scattering_body
from gdshare.private.statistic import Shape
from gdshare.protocol import PatchClass, Protocol
from gdshare.storage import write_bytes
from studies.pneumonia import SYNTHETIC, draw_images
from studies.runner import Cell, Piece, Result, Store, read_arrays, write_arrays
from studies.votes import judge_votes

READ = "read"
"""Kind of cells, and their role where they are needed."""
IMAGES = "pneumoniamnist"
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MEANS, FEATURES, REFERENCE = "means.npz", "features.npz", "reference"


@dataclass(frozen=True)
class Reading:
    """What a hospital's patients and the drawn films are read with."""

    protocol: Protocol
    shape: Shape
    drawing: Drawing


@dataclass(frozen=True)
class ImagesReading:
    """What images of single windows are read with."""

    reading: Reading
    images: str | None  # SHA-256 of the real images' file


@dataclass(frozen=True)
class Films:
    """A split's films: conditioned features of windows, their classes, films and diagnoses."""

    features: Tensor  # float32 [n, F]
    classes: Tensor  # int64 [n]
    films: Tensor  # int64 [n]

    def judge(self, head: Head) -> tuple[float, float]:
        """Patch score, and AUC of films by the share of P among votes for N or P."""
        logits = head.logits(self.features)
        if not self.has_class_i:
            logits[:, PatchClass.I] = -torch.inf
        return judge_votes(logits.argmax(1), self.classes, self.films)

    @property
    def has_class_i(self) -> bool:
        """Whether any window is of class I."""
        return bool((self.classes == PatchClass.I).any())

    def at(self, rows: Tensor) -> "Films":
        """Some of the windows: int64 [k] or bool [n]."""
        return Films(self.features[rows], self.classes[rows], self.films[rows])

    def beside(self, other: "Films") -> "Films":
        """These windows, then others; whose films they are is taken as it is."""
        return Films(
            torch.cat([self.features, other.features]),
            torch.cat([self.classes, other.classes]),
            torch.cat([self.films, other.films]),
        )


def reading_of_images(protocol: Protocol, shape: Shape, drawing: Drawing) -> Reading:
    """What PneumoniaMNIST is read with: a hospital's protocol, but for the side."""
    return Reading(protocol.model_copy(update={"side": PNEUMONIA_SIDE}), shape, drawing)


def images_cell(reading: Reading, synthetic: int | None, store: Store, data: Path) -> Cell:
    """The cell that reads PneumoniaMNIST.

    Args:
        reading: of ``reading_of_images``.
        synthetic: so many drawn images of each class and split, not the real ones.
        store: where the drawn ones lie.
        data: folder of the real ones.
    """
    drawn, full = Cell("images", "images", draw_images, synthetic), synthetic is None
    file = data / PNEUMONIA if full else store.folder(drawn) / SYNTHETIC
    asked = ImagesReading(reading, data_digest(file) if full else None)
    return Cell(
        *(f"{READ}-{IMAGES}", READ, partial(read_images, file), asked, 0),
        *({} if full else {"images": drawn}, 120.0),
    )


def read_images(file: Path, piece: Piece, asked: ImagesReading) -> Result:
    """The cell that computes features of PneumoniaMNIST: every image is a film, and a patient."""
    body = scattering_body(Settings(), asked.reading.protocol)
    films = dict[Split, Films]()
    for split in SPLITS:
        x, classes = pneumonia_split(file, split)
        features = torch.cat([body.features_of(part) for part in torch.split(x, 512)])
        films[split] = Films(features, classes + PatchClass.N, torch.arange(len(classes)))
    return keep_reading(piece, asked.reading, body, films)


def keep_reading(
    piece: Piece, reading: Reading, body: Body, films: Mapping[Split, Films]
) -> Result:
    """Keep the films' features, and the drawn ones; of least squares on patches, what it scores."""
    reference = draw_reference(
        reading.protocol, body, reading.shape.dimension, drawing=reading.drawing
    )
    names = ("projection", "lift", "centres", "background", "scatter")
    write_arrays(piece.folder / MEANS, {name: getattr(reference, name) for name in names})
    write_bytes(piece.folder / REFERENCE, reference.sha256.encode())
    arrays = {
        f"{split}-{name}": getattr(own, name).numpy()
        for split, own in films.items()
        for name in ("features", "classes", "films")
    }
    with (piece.folder / FEATURES).open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    own, seen = films["train"], films["val"]
    solved = solve(
        (own.features, one_hot(own.classes)),
        (seen.features, one_hot(seen.classes)),
        Head.zeros(body),
    )
    score, area = films["test"].judge(solved.head)
    return Result({"val": solved.score, "test": score, "auc": area})


def open_reading(folder: Path) -> tuple[dict[Split, Films], Reference]:
    """What ``keep_reading`` left in its folder."""
    stored = read_arrays(folder / FEATURES)
    names = ("features", "classes", "films")
    films = {
        split: Films(*(torch.from_numpy(stored[f"{split}-{name}"]) for name in names))
        for split in SPLITS
    }
    arrays = read_arrays(folder / MEANS)
    return films, Reference(**arrays, sha256=(folder / REFERENCE).read_text())
