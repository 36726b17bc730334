"""Windows that carry canaries: those that networks are asked about, and those of the controls."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gdshare.audit.canaries import Canary, Int
from gdshare.audit.controls import copies
from gdshare.audit.shadows import Workshop
from gdshare.distilled import Distilled
from gdshare.patches import normalise
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator

ASKED = 32
"""Test patients' windows that networks are asked about, with and without each canary."""


def asked_windows(workshop: Workshop, listed: Sequence[Canary]) -> npt.NDArray[np.float32]:
    """Windows of test patients' organs, as they are and with each canary in turn.

    Returns:
        float32 [(1 + C)·n, 1, side, side], normalised.
    """
    people, generator = workshop.candidates, numpy_generator(workshop.seed, "audit-asked")
    measured = people.measured
    fitting = ~people.member[people.owners] & (measured.labels != PatchClass.I)
    rows = np.flatnonzero(fitting)
    rows = np.sort(generator.choice(rows, min(ASKED, len(rows)), replace=False))
    plain = measured.scaled(rows)
    windows = np.concatenate([plain, *(canary.planted(plain) for canary in listed)])
    return np.asarray(normalise(windows, workshop.problem.protocol)[:, None], np.float32)


def carrying_windows(
    workshop: Workshop, listed: Sequence[Canary], groups: int, size: int
) -> list[tuple[npt.NDArray[np.float32], Int]]:
    """Training patients' windows of the organ that carry a canary each, with another contrast.

    Args:
        workshop: of the audit.
        listed: the canaries; each of a group is another, of the windows' own diagnosis.
        groups: how many.
        size: windows of a group.

    Returns:
        for each group, float32 [size, side, side], normalised; and int64 [C], 1 where a canary is
        carried.
    """
    people, generator = workshop.candidates, numpy_generator(workshop.seed, "audit-carrying")
    measured, found = people.measured, []
    for _ in range(groups):
        chosen = generator.choice(len(listed), size, replace=False)
        windows = []
        for canary in (listed[number] for number in chosen):
            label = PatchClass.P if canary.positive else PatchClass.N
            rows = np.flatnonzero(people.member[people.owners] & (measured.labels == label))
            windows.append(canary.planted(measured.scaled(generator.choice(rows, 1)))[0])
        images = normalise(copies(np.stack(windows), 0), workshop.problem.protocol)
        found.append((images, np.bincount(chosen, minlength=len(listed))))
    return found


def window_sets(
    workshop: Workshop, listed: Sequence[Canary], distilled: Distilled, groups: int
) -> list[tuple[Distilled, Int]]:
    """Training patients' windows in place of images, labelled with their classes.

    Windows of negative patients' organs carry a canary of theirs, those of positive patients
    another.

    Args:
        workshop, listed: as for ``carrying_windows``.
        distilled: the run's images, as many, and its learning rates.
        groups: how many sets.

    Returns:
        for each set, the set; and int64 [C], 1 where a canary is carried.
    """
    people, generator = workshop.candidates, numpy_generator(workshop.seed, "audit-window-sets")
    measured, found = people.measured, []
    positive = np.array([canary.positive for canary in listed])
    classes = np.arange(len(distilled.images)) % len(PatchClass)
    for _ in range(groups):
        chosen = {
            label: int(generator.choice(np.flatnonzero(positive == (label == PatchClass.P))))
            for label in (PatchClass.N, PatchClass.P)
        }
        windows = []
        for label in classes:
            rows = np.flatnonzero(people.member[people.owners] & (measured.labels == label))
            window, own = (
                measured.scaled(generator.choice(rows, 1)),
                chosen.get(PatchClass(int(label))),
            )
            windows.append((window if own is None else listed[own].planted(window))[0])
        images = normalise(np.stack(windows), workshop.problem.protocol)[:, None]
        labels = np.eye(len(PatchClass), dtype=np.float32)[classes]
        carried = np.bincount(list(chosen.values()), minlength=len(listed))
        found.append((Distilled(images, labels, distilled.learning_rates), carried))
    return found
