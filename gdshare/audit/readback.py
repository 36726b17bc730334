"""What can be read back of a canary: scores of every canary on a set, and what they add up to.

``look``
    at images: how much a canary looks like some part of them.
``listen``
    at networks that a receiver trains: what a canary does to their verdict on a window.

The scores are compared with those on distillations in which nobody carries a canary (``compared``),
and the figure is how well canaries that are planted stand out among those that are not, within a
set and a kind (``recognition``). Shapes in the comments::

    C  canaries
    S  sets
    n  windows
    L  classes
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdshare.audit.canaries import KINDS, Canary, Kind
from gdshare.audit.figures import Recognition
from gdshare.protocol import PatchClass

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Images = npt.NDArray[np.float32]

REACH = 8
"""A glyph is sought as many pixels from the middle as the side has, divided by this."""
PRIOR = 8.0
"""Degrees of freedom that the mean deviation of a kind counts for in a canary's own."""
TINY = 1e-9
RESAMPLES = 400
DECIMALS = 4


def look(images: Images, listed: Sequence[Canary]) -> Float:
    """How much each canary looks like the image that looks most like it, whatever its sign.

    Of a glyph, the largest correlation with a square of its size about the middle. Of an outlier,
    the mean correlation with such squares everywhere, each in the phase that suits it: networks
    that forget the phase, as scattering does, give back a grating whose phase wanders.

    Args:
        images: float32 [M, side, side].
        listed: the canaries.

    Returns:
        float64 [C], 0 to 1.
    """
    side, scores = images.shape[-1], []
    for canary in listed:
        basis = canary.basis(side)  # [b, k, k]
        size = basis.shape[-1]
        last = side - size
        reach = min(last // 2, side // REACH)
        glyph = canary.kind == "glyph"
        places = range(last // 2 - reach, last // 2 + reach + 1) if glyph else range(last + 1)
        squares = np.stack(
            [
                images[:, down : down + size, right : right + size]
                for down in places
                for right in places
            ]
        )  # [places, M, k, k]
        patterns = _patterns(squares.reshape(-1, size * size))
        shares = np.linalg.norm(patterns @ basis.reshape(len(basis), -1).T, axis=1)
        by_image = shares.reshape(len(squares), -1)  # [places, M]
        summary = by_image.max(axis=0) if glyph else by_image.mean(axis=0)
        scores.append(float(summary.max()))
    return np.asarray(np.minimum(scores, 1.0), np.float64)


def _patterns(rows: npt.NDArray[np.float32]) -> Float:
    """Centred rows of length 1; flat ones are 0, and look like nothing."""
    centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < TINY * np.sqrt(rows.shape[1])
    return np.asarray(np.where(flat, 0.0, centred / np.where(flat, 1.0, length)))


@torch.no_grad()
def listen(verdicts: Sequence[Tensor], listed: Sequence[Canary]) -> Float:
    """How much each canary turns networks' verdicts towards its own diagnosis.

    That is the log odds of the diagnosis with the canary, minus those without, beyond the mean of
    all canaries of the kind: whatever is strange may turn a network one way or the other.

    Args:
        verdicts: of every network, logits float32 [(1 + C)·n, L] of windows as they are, and of the
            same windows with each canary in turn.
        listed: the canaries.

    Returns:
        float64 [C], means over networks and windows; 0 where a network left the range of numbers.
    """
    odds = []
    for logits in verdicts:
        found = (logits[:, PatchClass.P] - logits[:, PatchClass.N]).double().cpu().numpy()
        mean = found.reshape(1 + len(listed), -1).mean(axis=1)  # [1 + C]
        odds.append(mean if np.isfinite(mean).all() else np.zeros(1 + len(listed)))
    mean = np.mean(odds, axis=0)
    turned = mean[1:] - mean[0]
    kinds = np.array([canary.kind for canary in listed])
    for kind in np.unique(kinds):
        turned[kinds == kind] -= turned[kinds == kind].mean()
    signs = np.array([1.0 if canary.positive else -1.0 for canary in listed])
    return np.asarray(turned * signs)


def compared(scores: Float, nulls: Float, kinds: Sequence[Kind]) -> Float:
    """Scores as deviations from those on sets that hold no canary.

    With few such sets a canary's own deviation is poorly known, and may be tiny by chance: it is
    drawn towards the mean one of its kind.

    Args:
        scores: float64 [S, C].
        nulls: float64 [at least 2, C].
        kinds: of the canaries.
    """
    freedom = len(nulls) - 1.0
    squares = ((nulls - nulls.mean(axis=0)) ** 2).sum(axis=0)  # [C]
    variance = np.empty(len(kinds))
    for kind in KINDS:
        own = np.array([other == kind for other in kinds])
        common = squares[own].mean() / freedom if own.any() else 0.0
        variance[own] = (squares[own] + PRIOR * common) / (freedom + PRIOR)
    return np.asarray((scores - nulls.mean(axis=0)) / np.sqrt(variance + TINY**2))


@dataclass(frozen=True)
class Scored:
    """What an attack found in every set.

    Attributes:
        scores: float64 [S, C], higher where a canary is planted.
        carried: int64 [S, C], by how many patients.
        kinds: of the canaries.
        positive: the diagnosis that each belongs to.
    """

    scores: Float
    carried: Int
    kinds: tuple[Kind, ...]
    positive: tuple[bool, ...]

    @property
    def groups(self) -> list[tuple[Kind, bool]]:
        """Of each canary, kind and diagnosis: only canaries of a group are compared."""
        return list(zip(self.kinds, self.positive, strict=True))


def recognition(
    scored: Scored, planted: Bool, generator: np.random.Generator, kinds: Sequence[Kind] = KINDS
) -> Recognition | None:
    """How well planted canaries stand out among those of the same group that nobody carries.

    Args:
        scored: of an attack.
        planted: bool [S, C], which are compared with those that nobody carries.
        generator: resamples canaries for the interval, each in all sets at once: what is easily
            read is so in every set. What a set does to all canaries of a group alike cancels; to
            resample sets as well made intervals that held chance in 99 of 100 draws of noise.
        kinds: that are counted.

    Returns:
        None where there is nothing to compare.
    """
    pairs, right = _pairs(scored, planted, kinds)
    if not len(right):
        return None
    groups = [
        np.array([place for place, own in enumerate(scored.groups) if own == group])
        for group in dict.fromkeys(scored.groups)
    ]
    draws = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([generator.choice(group, len(group)) for group in groups])
        counts = np.bincount(drawn, minlength=len(scored.kinds))
        weights = counts[pairs[1]] * counts[pairs[2]]
        draws.append(weights @ right / weights.sum() if weights.any() else np.nan)
    area = float(right.mean())
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    counted = np.isin(scored.kinds, kinds)[None]
    carriers = scored.carried[planted & counted]
    return Recognition(
        kinds=tuple(kinds),
        patients=int(carriers.max()),
        planted=len(carriers),
        absent=int(((scored.carried == 0) & counted).sum()),
        auc=round(area, DECIMALS),
        low=round(float(min(low, area)), DECIMALS),
        high=round(float(max(high, area)), DECIMALS),
    )


def _pairs(scored: Scored, planted: Bool, kinds: Sequence[Kind]) -> tuple[Int, Float]:
    """Every planted canary with every absent one of its set, kind and diagnosis.

    Of both diagnoses, a canary that ten patients carry would push those of the other one up.

    Returns:
        int64 [3, pairs]: set, planted, absent; and float64 [pairs], 1 where the planted one has the
        higher score, 0.5 where they are equal.
    """
    groups = scored.groups
    found = [
        (place, own, other)
        for place, row in enumerate(scored.carried)
        for own in np.flatnonzero(planted[place])
        for other in np.flatnonzero(row == 0)
        if groups[own] == groups[other] and scored.kinds[own] in kinds
    ]
    pairs = np.array(found, np.int64).reshape(-1, 3).T
    own, other = scored.scores[pairs[0], pairs[1]], scored.scores[pairs[0], pairs[2]]
    return pairs, np.asarray((own > other) + 0.5 * (own == other), np.float64)
