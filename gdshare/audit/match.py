"""``nearest-ratio/1``: are the images nearer to members' patches than to as many others'?

The distance of a window and an image is 1 - ρ², the share of the window's pattern that the best
affine change of the image's intensities leaves over, the least of all shifts by a few pixels. By
features it is the same with the cosine of conditioned features in place of ρ.

The nearest of many is nearer than the nearest of few. So members are taken in groups, each compared
with a group of as many others with as many windows each. The figure is that of the group and image
where the ratio is smallest; beside it stands the same of others among themselves, whom no image can
have copied. Shapes::

    n  patients
    M  images
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from gdshare.audit.figures import Nearness, RankTest
from gdshare.audit.patients import Patients, rows_by_owner

NAME = "nearest-ratio/1"
MOST_WINDOWS = 500
"""Of a patient."""
DRAWS = 400
"""Of groups, for figure and interval."""
TINY = 1e-6
Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distances:
    """Of each patient's nearest window to each image.

    Attributes:
        values: float64 [n, M], 0 to 1.
        windows: of each patient.
    """

    values: Float
    windows: int


def equal_windows(
    members: Patients, others: Patients, generator: np.random.Generator
) -> tuple[Patients, Patients]:
    """As many windows of every patient: those of the patient with fewest, or ``MOST_WINDOWS``."""
    count = min(MOST_WINDOWS, *(len(rows) for part in (members, others) for rows in part.rows))

    def cut(part: Patients) -> Patients:
        rows = (np.sort(generator.choice(own, count, replace=False)) for own in part.rows)
        return Patients(part.patches, tuple(rows), part.positive)

    return cut(members), cut(others)


def pixel_distances(
    images: npt.NDArray[np.float32], patients: Patients, done: Callable[[int], None]
) -> Distances:
    """Distances by pixels.

    Args:
        images: float32 [M, side, side].
        patients: with as many windows each.
        done: called after each patient.
    """
    side = images.shape[-1]
    reach = max(1, side // 16)
    inner = side - 2 * reach
    shifted = np.stack(
        [
            images[:, down : down + inner, right : right + inner]
            for down in range(2 * reach + 1)
            for right in range(2 * reach + 1)
        ]
    )  # [shifts, M, inner, inner]
    patterns = _patterns(shifted.reshape(-1, inner * inner))
    values = np.empty((len(patients), len(images)))
    for place, rows in enumerate(patients.rows):
        windows = patients.patches.scaled(rows)[:, reach : reach + inner, reach : reach + inner]
        matches = (_patterns(windows.reshape(len(rows), -1)) @ patterns.T) ** 2
        values[place] = 1.0 - matches.reshape(-1, len(images)).max(axis=0)
        done(place + 1)
    return Distances(values.clip(0.0, 1.0), len(patients.rows[0]))


def nearness(members: Distances, others: Distances, generator: np.random.Generator) -> Nearness:
    """Compare members with others.

    Args:
        members, others: of at least four patients each, with as many windows.
        generator: draws groups.
    """
    size = len(others.values) // 2
    groups = max(1, len(members.values) // size)
    ratios = [
        _smallest_ratio(members.values, others.values, size, groups, generator)
        for _ in range(DRAWS)
    ]
    among = [_among(others.values, size, groups, generator) for _ in range(DRAWS)]
    ratio = float(np.median(ratios))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Nearness(
        patients=size,
        windows=members.windows,
        ratio=round(ratio, 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        unrelated=round(float(np.median(among)), 4),
        ranks=rank_test(members, others),
    )


def rank_test(members: Distances, others: Distances) -> RankTest:
    """Whether members as a whole are nearer, by their distance to the image nearest to them."""
    own, their = members.values.min(axis=1), others.values.min(axis=1)
    result = mannwhitneyu(own, their, alternative="less")
    pairs = len(own) * len(their)
    return RankTest(
        members=len(own),
        others=len(their),
        nearer=round(1.0 - float(result.statistic) / pairs, 4),
        p=float(f"{float(result.pvalue):.3g}"),
    )


def _smallest_ratio(
    members: Float, others: Float, size: int, groups: int, generator: np.random.Generator
) -> float:
    """All members in groups, each against a group of others: the smallest ratio."""
    order = generator.permutation(len(members))
    ratios = [
        _ratio(members[order[group * size : (group + 1) * size]], others, size, generator)
        for group in range(groups)
    ]
    return min(ratios)


def _among(others: Float, size: int, groups: int, generator: np.random.Generator) -> float:
    """The same of others alone, as often as there are groups of members."""
    ratios = []
    for _ in range(groups):
        order = generator.permutation(len(others))
        own, their = others[order[:size]], others[order[size : 2 * size]]
        ratios.append(_ratio(own, their, size, generator))
    return min(ratios)


def _ratio(own: Float, others: Float, size: int, generator: np.random.Generator) -> float:
    """Of the image where it is smallest."""
    chosen = others[generator.choice(len(others), size, replace=False)]
    return float(((own.min(axis=0) + TINY) / (chosen.min(axis=0) + TINY)).min())


def _patterns(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centred rows of length 1; flat ones are 0, and match nothing."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < TINY * np.sqrt(rows.shape[1])
    return np.asarray(np.where(flat, 0.0, centred / np.where(flat, 1.0, length)), np.float32)


def feature_distances(
    images: Float, features: Float, owners: npt.NDArray[np.int64], count: int
) -> Distances:
    """Distances by features.

    Args:
        images: float64 [M, F], conditioned features of the images.
        features: float64 [windows, F], of the patients' windows.
        owners: int64 [windows], each one's patient. A patient's windows need not lie together: who
            has two films may stand in the table twice, with others between.
        count: of windows that are looked at of each patient, the first.

    Returns:
        of the patients in the order of ``first_seen``.
    """
    matches = np.maximum(_unit(features) @ _unit(images).T, 0.0) ** 2  # [windows, M]
    numbers, rows = rows_by_owner(owners)
    own = dict(zip(numbers, rows, strict=True))
    values = np.stack(
        [1.0 - matches[own[patient][:count]].max(axis=0) for patient in first_seen(owners)]
    )
    return Distances(values.clip(0.0, 1.0), count)


def first_seen(owners: npt.NDArray[np.int64]) -> list[int]:
    """Every patient once, in the order of their first windows."""
    return list(dict.fromkeys(owners.tolist()))


def _unit(rows: Float) -> Float:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY))
