"""Gaussian noise in whole numbers, sampled exactly, for hospitals that want a guarantee.

Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy", NeurIPS 2020,
algorithms 1 to 3: integers and fractions from the system's own source of randomness, no floating
point, so that the last digits of a sample tell nothing. There is no seed: whoever knew it could
subtract the noise.
"""

from fractions import Fraction
from secrets import randbelow

DIGITS = 128
"""Binary digits of the uniform numbers that are not whole; so a sample of ``rounded_gaussian`` is
off its distribution by at most 2^-DIGITS in all.
"""


def rounded_gaussian(variance: Fraction) -> int:
    """A normal number of mean 0, rounded to the nearest integer.

    Added to integers it is the Gaussian mechanism itself, rounded afterwards: what is proven for
    the continuous Gaussian holds, in any number of dimensions. By rejection (the idea is Karney's,
    "Sampling exactly from the normal distribution", 2016): j >= 0 with probability proportional to
    exp(-j² / 2v), u uniform in [0, 1), kept with probability exp(-(2ju + u²) / 2v); then j + u has
    a normal number's magnitude.

    Args:
        variance: v, above 0.
    """
    unit = 1 << DIGITS
    while True:
        whole = discrete_gaussian(variance)
        if whole < 0:
            continue
        part = Fraction(randbelow(unit), unit)
        if _bernoulli_exp((2 * whole * part + part**2) / (2 * variance)):
            magnitude = int(whole + part + Fraction(1, 2))
            return -magnitude if randbelow(2) else magnitude


def discrete_gaussian(variance: Fraction) -> int:
    """An integer n with probability proportional to exp(-n² / (2 variance)); algorithm 3."""
    scale = int(variance**0.5) + 1  # any positive integer gives the same distribution
    while True:
        n = discrete_laplace(scale)
        if _bernoulli_exp((abs(n) - variance / scale) ** 2 / (2 * variance)):
            return n


def discrete_laplace(scale: int) -> int:
    """An integer n with probability proportional to exp(-|n| / scale); algorithm 2."""
    while True:
        low = randbelow(scale)
        if not _bernoulli_exp(Fraction(low, scale)):
            continue
        high = 0
        while _bernoulli_exp(Fraction(1)):
            high += 1
        magnitude, negative = low + scale * high, bool(randbelow(2))
        if magnitude or not negative:
            return -magnitude if negative else magnitude


def _bernoulli_exp(gamma: Fraction) -> bool:
    """True with probability exp(-gamma); algorithm 1."""
    numerator, denominator = gamma.as_integer_ratio()
    while numerator > denominator:
        if not _bernoulli_exp(Fraction(1)):
            return False
        numerator -= denominator
    place = 1
    while randbelow(denominator * place) < numerator:
        place += 1
    return place % 2 == 1
