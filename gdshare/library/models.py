"""Training on distilled images, and classifying with what was trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gdshare import model as saved
from gdshare.contributions import Source, train_from
from gdshare.errors import UsageError
from gdshare.films import Film
from gdshare.films.film import warn_of_narrow_range
from gdshare.library.images import DistilledImages
from gdshare.library.patches import as_pixels
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.model import Model
from gdshare.patches import normalise
from gdshare.pooling import Contribution, Scheme
from gdshare.vote import Verdict, VoteMap, predictor, vote_map

TOGETHER = 512
"""Patches that go through a network together."""


def train(
    images: DistilledImages | Sequence[DistilledImages],
    *,
    scheme: Scheme = "average",
    seed: int = 0,
    ensemble: int = 5,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """Train the model that an aggregator would train from these images, bit for bit.

    Args:
        images: of a hospital or of several, of the same classes, protocol and network.
        scheme: how images of several hospitals are pooled, see ``gdshare.pooling``.
        seed: decides every θ0 and the augmentation.
        ensemble: networks to train, 1 to 10, which vote together; an announced θ0, as the default
            network has, gives one.
        progress: called with (networks trained, in all).

    Raises:
        UsageError: no images, the same twice, or images that cannot be pooled.
        DivergedError: training leaves the range of numbers.
    """
    several = [images] if isinstance(images, DistilledImages) else list(images)
    return train_from([_source(part) for part in several], scheme, seed, ensemble, progress)


def _source(images: DistilledImages) -> Source:
    contribution = Contribution(
        images.name,
        images.tensors,
        images.method,
        images.initialiser,
        images.patients,
        images.theta0_sha256,
        images.classes,
    )
    return Source(Path(images.name), images.digest, contribution, images.protocol, images.manifest)


def predict(model: Model, images: npt.NDArray[Any], *, device: str = "cpu") -> npt.NDArray[np.str_]:
    """The class of each patch, by the votes of the model's networks.

    Args:
        model: of any classes.
        images: [n, side, side]; uint8, uint16, or floats in [0, 1].
        device: torch's name of where to compute.

    Returns:
        names in ``model.classes``, text [n]; of equal votes, the first class.

    Raises:
        UsageError: images of another shape, type or side.
    """
    pixels, side = as_pixels(images), model.protocol.side
    if pixels.shape[1] != side:
        raise UsageError(f"are {pixels.shape[1]} px wide, and the model takes {side}", "images")
    of_patches, classes = predictor(model, device), np.arange(len(model.classes))
    parts = []
    for start in range(0, len(pixels), TOGETHER):
        scaled = np.divide(pixels[start : start + TOGETHER], 65535, dtype=np.float32)
        called = of_patches(normalise(scaled, model.protocol))  # [networks, n]
        votes = (called[:, :, None] == classes).sum(0)  # [n, classes]
        parts.append(votes.argmax(1))
    names: npt.NDArray[np.str_] = np.array(model.classes)[np.concatenate(parts)]
    return names


@dataclass(frozen=True)
class FilmVerdict:
    """What a model makes of a film. For research only; not a medical device.

    Attributes:
        verdict: ``indeterminate`` where no window was voted N or P: a person must look.
        ratio: P / (P + N) of the votes, in [0, 1]; None where indeterminate.
        threshold: ε; positive from this ratio on.
        map: what every network called every window; ``map.votes`` counts them.
    """

    verdict: Verdict
    ratio: float | None
    threshold: float
    map: VoteMap


def classify(
    model: Model, film: Film, *, threshold: float | None = None, device: str = "cpu"
) -> FilmVerdict:
    """Classify a film by the votes of its windows, as ``gdshare classify`` does.

    Args:
        model: of the classes I, N and P.
        film: as ``read_film`` gave it.
        threshold: ε, in [0, 1]; None: the model's own, or the source's 0.4 if it has none.
        device: torch's name of where to compute.

    Raises:
        ModelError: the model is of other classes.
        FilmError: no window fits on the film, or it lacks a pixel size that the model needs.
        UsageError: the threshold is not in [0, 1].
    """
    model.require_patch_classes()
    epsilon = model.threshold if threshold is None else threshold
    epsilon = SOURCE_THRESHOLD if epsilon is None else epsilon
    if not 0 <= epsilon <= 1:
        raise UsageError("is not in the range 0 to 1", f"threshold={epsilon}")
    warn_of_narrow_range(film)
    seen = vote_map(film, model.protocol, predictor(model, device))
    votes = seen.votes
    ratio = None if votes.indeterminate else votes.ratio
    return FilmVerdict(votes.verdict_at(epsilon), ratio, epsilon, seen)


def load_model(folder: Path) -> Model:
    """Read a model that ``save_model``, ``gdshare train`` or a round wrote.

    Raises:
        ModelError: not there, damaged, or of another version.
    """
    model, _ = saved.load_model(folder)
    return model


def save_model(folder: Path, model: Model) -> None:
    """Write a model of the classes I, N and P, for ``load_model`` and ``gdshare classify``.

    Args:
        folder: for ``model.safetensors`` and ``model.json``; must not exist yet, or be empty.
        model: its threshold is kept, if it has one.

    Raises:
        ModelError: it is of other classes; there is no file format for these.
        UsageError: the folder is not empty.
    """
    model.require_patch_classes()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("already exists", folder, "choose another folder, or remove it first")
    origin = {} if model.threshold is None else {"threshold": model.threshold}
    saved.save_model(folder, model, {"trained_on": "distilled images", **origin})
