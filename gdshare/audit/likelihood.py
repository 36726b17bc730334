"""The likelihood ratio that a patient was in a training set, from distillations with and without.

Source: Carlini, Chien, Nasr, Song, Terzis, Tramèr, "Membership inference attacks from first
principles", S&P 2022 (LiRA). Each patient has two normal distributions of a statistic: over the
shadows with the patient, and over those without. The ratio of their densities at the statistic of
the attacked images is the score; of several statistics, the ratio of their joint densities.

With tens of shadows the two means of a single patient are poorly known. So the shift between them
is drawn towards the mean shift of all patients, and each deviation towards the mean deviation, as
far as chance explains their spread; correlations between statistics are taken as everybody's. A
statistic is first taken relative to its mean over all patients of the same diagnosis: some
distillations fit everybody better. Shapes::

    K  statistics
    S  shadows
    n  patients
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LEAST = 2
"""Shadows with a patient, and without, that a shift of that patient's own is estimated from."""
PRIOR = 8.0
"""Degrees of freedom that the mean deviation counts for in a patient's own."""
RIDGE = 0.05
"""Added to the correlations' diagonal."""
TINY = 1e-12


@dataclass(frozen=True)
class Shadows:
    """Statistics of every patient under every shadow.

    Attributes:
        values: float64 [K, S, n], higher for members if they say anything.
        included: bool [S, n], who was in each shadow's training set.
        positive: bool [n], the diagnosis.
    """

    values: Float
    included: Bool
    positive: Bool

    @property
    def is_online(self) -> bool:
        """Whether most patients are in some shadows and not in others, so that both are fitted."""
        return bool(_fitted(self.included).mean() > 0.5)

    def of(self, numbers: npt.NDArray[np.int64]) -> "Shadows":
        """Some of the shadows."""
        return Shadows(self.values[:, numbers], self.included[numbers], self.positive)


@dataclass(frozen=True)
class _Fit:
    """A statistic's distributions.

    Attributes:
        shift: float64 [n], from the mean without the patient to that with.
        base: float64 [n], the mean without.
        deviation: float64 [n], of a single set of images around either.
        residual: float64 [S, n], what chance left, in deviations.
    """

    shift: Float
    base: Float
    deviation: Float
    residual: Float


def log_ratios(shadows: Shadows, observed: Float) -> Float:
    """Log likelihood ratio of every patient: above 0, more likely a member.

    A patient who is in too few shadows, or in too many, is given everybody's mean shift. Where that
    is most patients, no distribution with the patient is fitted; the score is then the deviation
    from the distribution without (offline LiRA).

    Args:
        shadows: at least 3.
        observed: float64 [K, n], the statistics under the attacked images.

    Returns:
        float64 [n].
    """
    fit = _online if shadows.is_online else _offline
    values = _relative(shadows.values, shadows.positive)
    fits = [fit(own, shadows.included) for own in values]
    seen = _relative(observed, shadows.positive)
    shifts = np.stack([own.shift / own.deviation for own in fits])  # [K, n]
    places = np.stack(
        [
            (own_seen - own.base - own.shift / 2.0) / own.deviation
            for own, own_seen in zip(fits, seen, strict=True)
        ]
    )  # [K, n], from the middle between the means
    weights = np.linalg.solve(_correlation(fits), shifts)  # [K, n]
    return np.asarray((weights * places).sum(axis=0))


def each_left_out(shadows: Shadows) -> Float:
    """Every shadow attacked with the help of the others: log ratios, float64 [S, n]."""
    every = np.arange(len(shadows.included))
    return np.stack(
        [log_ratios(shadows.of(np.delete(every, s)), shadows.values[:, s]) for s in every]
    )


def _fitted(included: Bool) -> Bool:
    """Who has a shift of their own: bool [n]."""
    number_in = included.sum(axis=0)
    return np.asarray((number_in >= LEAST) & (len(included) - number_in >= LEAST))


def _online(values: Float, within: Bool) -> _Fit:
    count, fitted, number_in = len(values), _fitted(within), within.sum(axis=0)
    known_in, known_out = np.maximum(number_in, 1), np.maximum(count - number_in, 1)
    mean_in = np.where(within, values, 0.0).sum(axis=0) / known_in
    mean_out = np.where(within, 0.0, values).sum(axis=0) / known_out
    own = mean_in - mean_out
    apart = values - np.where(within, mean_in, mean_out)
    freedom = np.full(len(own), count - 2.0)
    uncertain = _shrunk_variance((apart**2).sum(axis=0), freedom) * (1 / known_in + 1 / known_out)
    common = float(own[fitted].mean())
    spread = max(0.0, float(own[fitted].var()) - float(uncertain[fitted].mean()))
    drawn = common + (own - common) * spread / (spread + uncertain)
    shift = np.where(fitted, drawn, common)
    base = (values - within * shift).mean(axis=0)  # from all shadows
    residual = values - base - within * shift
    variance = _shrunk_variance((residual**2).sum(axis=0), freedom)
    deviation = np.sqrt(variance * (1.0 + 1.0 / count))
    return _Fit(shift, base, deviation, residual / deviation)


def _offline(values: Float, within: Bool) -> _Fit:
    """Only the distribution without is known; the shift is taken to be as many deviations for all.

    Whoever is in every shadow has no such distribution, and is given that of all shadows.
    """
    out = ~within | within.all(axis=0)
    count = out.sum(axis=0)
    base = np.where(out, values, 0.0).sum(axis=0) / count
    residual = np.where(out, values - base, 0.0)
    squares = (residual**2).sum(axis=0)
    deviation = np.sqrt(_shrunk_variance(squares, count - 1.0) * (1.0 + 1.0 / count))
    return _Fit(deviation, base, deviation, residual / deviation)


def _correlation(fits: list[_Fit]) -> Float:
    """Of the statistics, over all patients and shadows: float64 [K, K], safe to invert."""
    residuals = np.stack([own.residual.ravel() for own in fits])
    covariance = residuals @ residuals.T
    length = np.sqrt(np.diag(covariance)) + TINY
    return np.asarray(covariance / np.outer(length, length) + RIDGE * np.eye(len(fits)))


def _shrunk_variance(squares: Float, freedom: Float) -> Float:
    """Each patient's variance, drawn towards that of all patients together."""
    common = squares.sum() / max(float(freedom.sum()), 1.0)
    return np.asarray((squares + PRIOR * common) / (freedom + PRIOR) + TINY)


def _relative(values: Float, positive: Bool) -> Float:
    """Values less their mean over the patients of the same diagnosis: float64 [..., n]."""
    result = values.copy()
    for diagnosis in (False, True):
        same = positive == diagnosis
        if same.any():
            result[..., same] -= values[..., same].mean(axis=-1, keepdims=True)
    return result
