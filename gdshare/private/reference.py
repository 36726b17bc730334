"""What is known before any patient is looked at: features of films that a program draws.

The drawn films (``gdshare.films.phantom``) are the same for everybody. They say in which
coordinates patches differ, how far, and roughly where class I and the organ lie; so a hospital's
patients need to be asked for little. Shapes::

    n  drawn patches
    F  conditioned features, of them C at each of the cells
    k  coordinates kept
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch

from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.distill.head import Body, public_images
from gdshare.films.phantom import write_phantom_cohort
from gdshare.patch_tensors import as_tensors
from gdshare.protocol import CLASSES, PatchClass, Protocol
from gdshare.scattering import CELLS
from gdshare.seeding import numpy_generator

Matrix = npt.NDArray[np.float64]
WINDOW, STRIDE, FILM = 75, 13, 514
"""Of drawn films, px: the source's proportions (299, 50 and 2048)."""


@dataclass(frozen=True)
class Drawing:
    """How much is drawn.

    Attributes:
        films: of each diagnosis.
        windows: of class I, and of the organ, of each film, at most.
    """

    films: int = 12
    windows: int = 60


DRAWING = Drawing()
"""As much as a run draws."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of drawn patches, and the coordinates that they suggest.

    Attributes:
        projection: float64 [k, F]: means over cells, along the principal axes of drawn patches,
            each with deviation 1.
        lift: float64 [F, k]; ``projection @ lift`` is the identity.
        centres: float64 [2, k], means of class I and of the organ.
        background: float64 [F], what the projection leaves of the mean over the classes.
        scatter: float32 [n, F], of patches about their class' mean; along the coordinates as drawn,
            beside them shuffled and widened, since nothing is known of patients there.
        sha256: of projection and centres: a statistic means nothing under others.
    """

    projection: Matrix
    lift: Matrix
    centres: Matrix
    background: npt.NDArray[np.float64]
    scatter: npt.NDArray[np.float32]
    sha256: str


def draw_reference(
    protocol: Protocol,
    body: Body,
    dimension: int,
    device: str = "cpu",
    drawing: Drawing = DRAWING,
) -> Reference:
    """Draw films, cut them by the protocol's rules, and compute their features.

    Args:
        protocol: of the patients' patches; side, labels' bounds, normalisation and tone count.
        body: of the network scattering.
        dimension: k, at most C.
        device: torch's name of where to compute.
        drawing: how much is drawn.
    """
    with _drawn(protocol, drawing) as cohort:
        features, classes = _features(cohort, body, drawing.windows, device)
    public = body.features_of(public_images(protocol.side).to(device)).cpu().double().numpy()
    return reference_of(features, classes, public, dimension)


def reference_of(
    features: Matrix, classes: npt.NDArray[np.int64], public: Matrix, dimension: int
) -> Reference:
    """A reference from features alone.

    Args:
        features: float64 [n, F], of drawn patches, of every class.
        classes: int64 [n].
        public: float64 [m, F], of the public images.
        dimension: k.
    """
    projection, lift = _coordinates(features, dimension)
    means = np.stack([features[classes == label].mean(0) for label in range(len(CLASSES))])
    irrelevant, organ = classes == PatchClass.I, classes != PatchClass.I
    centres = np.stack([projection @ features[own].mean(0) for own in (irrelevant, organ)])
    mean = means.mean(0)
    residuals = features - means[classes]  # [n, F]
    along = residuals @ projection.T @ lift.T
    generator = numpy_generator(0, "private-reference")
    beside = (residuals - along)[generator.permutation(len(residuals))]
    noise = (public - public.mean(0))[generator.integers(len(public), size=len(residuals))]
    noise -= noise @ projection.T @ lift.T
    digest = hashlib.sha256(projection.tobytes() + centres.tobytes()).hexdigest()
    return Reference(
        projection,
        lift,
        centres,
        mean - lift @ (projection @ mean),
        (along + beside + WIDENING * noise).astype(np.float32),
        digest,
    )


WIDENING = 1.0
"""Public images' deviations that are added beside the coordinates."""


def _coordinates(features: Matrix, dimension: int) -> tuple[Matrix, Matrix]:
    """Projection and lift from the principal axes of the features' means over cells."""
    cells = CELLS**2
    averaged = features.reshape(len(features), -1, cells).mean(2) * cells**0.5  # [n, C]
    variances, axes = np.linalg.eigh(np.cov(averaged.T))
    axes = axes[:, ::-1][:, :dimension]  # [C, k]
    deviations = np.sqrt(variances[::-1][:dimension])
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(dimension)])
    wide = np.repeat(axes, cells, 0) / cells**0.5  # [F, k], orthonormal columns
    return (wide / deviations).T, wide * deviations


@contextmanager
def _drawn(protocol: Protocol, drawing: Drawing) -> Iterator[Cohort]:
    """Films of a hospital that is none, in a folder that goes away."""
    changes = {"patch": WINDOW, "stride": STRIDE, "resample_mm": None}
    own = Protocol.model_validate(protocol.model_dump() | changes)
    with TemporaryDirectory(prefix="gdshare-drawn-") as folder:
        films, cohort = Path(folder) / "films", Path(folder) / "cohort"
        write_phantom_cohort(
            films, site=0, negatives=drawing.films, positives=drawing.films, size=FILM
        )
        label_cohort(films / "labels.csv", cohort, own, (1.0, 0.0, 0.0), 0)
        yield open_cohort(cohort)


def _features(
    cohort: Cohort, body: Body, windows: int, device: str
) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Features float64 [n, F] of drawn patches, and their classes int64 [n]."""
    patches, parts, classes = cohort.patches("train"), [], []
    for film in np.unique(patches.films):
        for inside in (False, True):
            own = (patches.films == film) & ((patches.labels != PatchClass.I) == inside)
            rows = np.flatnonzero(own)
            rows = rows[
                np.arange(min(windows, len(rows))) * len(rows) // max(1, min(windows, len(rows)))
            ]
            x, y = as_tensors(patches, rows, cohort.protocol)
            parts.append(body.features_of(x.to(device)).cpu())
            classes.append(y)
    return torch.cat(parts).double().numpy(), torch.cat(classes).numpy()
