"""Things that leak, to see whether an attack would notice: the positive controls.

An attack that finds nothing on the images says something only if it finds something here. So each
attack is also made on a set that is known to leak, of the same cohort and by the same code:

``overfitted``
    distilled, with the run's settings, from five training patients alone. Networks trained from it
    know these five by heart; everybody else is an other. Where the run has a guarantee, these sets
    have none.
``copies``
    windows of training patients instead of distilled images, with another contrast, and for the
    attacks that allow for it shifted by a pixel.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.audit.candidates import Candidates
from gdshare.audit.shadows import Bool, Workshop
from gdshare.distilled import Distilled
from gdshare.seeding import numpy_generator

FEW = 5
"""Patients that an overfitted set is distilled from."""
GAIN, OFFSET = 0.7, 0.1
"""A copy's contrast and brightness."""


@dataclass(frozen=True)
class Overfitted:
    """A distillation from a few patients.

    Attributes:
        included: bool [n], which.
        distilled: the result.
    """

    included: Bool
    distilled: Distilled


def few_members(
    candidates: Candidates, seed: int, number: int, preferred: Bool | None = None
) -> Bool:
    """Draw ``FEW`` training patients, of both diagnoses as evenly as they go: bool [n].

    Args:
        candidates: of the audit.
        seed, number: decide who.
        preferred: bool [n]; of a diagnosis with enough of these, only they are drawn.
    """
    generator = numpy_generator(seed, "audit-few", number)
    included = np.zeros(len(candidates), bool)
    sizes = (FEW - FEW // 2, FEW // 2) if number % 2 else (FEW // 2, FEW - FEW // 2)
    for diagnosis, size in zip((False, True), sizes, strict=True):
        own = np.flatnonzero(candidates.member & (candidates.positive == diagnosis))
        if preferred is not None and preferred[own].sum() >= size:
            own = own[preferred[own]]
        included[generator.choice(own, min(size, len(own)), replace=False)] = True
    return included


def overfitted(
    workshop: Workshop, number: int, step: Callable[[], None], preferred: Bool | None = None
) -> Overfitted:
    """Distil from few training patients, whose windows are of every class.

    Args:
        workshop: of the audit.
        number: which of several.
        step: called after each training step.
        preferred: as for ``few_members``.
    """
    included = few_members(workshop.candidates, workshop.seed, number, preferred)
    name = f"overfitted-{number}"
    if preferred is not None:  # kept apart from sets of others
        name += f"-{hashlib.sha256(included.tobytes()).hexdigest()[:16]}"
    return Overfitted(included, workshop.distil(name, workshop.unguarded, included, step))


def copies(windows: npt.NDArray[np.float32], shift: int) -> npt.NDArray[np.float32]:
    """Windows with another contrast and brightness, shifted down and to the right.

    Args:
        windows: float32 [M, side, side], in [0, 1].
        shift: px.
    """
    moved = np.roll(windows, (shift, shift), axis=(1, 2))
    return np.asarray(GAIN * moved + OFFSET, np.float32)
