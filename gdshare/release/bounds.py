"""The bounds on attacks of a hospital's first policy, and the figures that each was chosen from.

A bound lets default runs pass, and stops what leaks on purpose: sets distilled from five patients
alone, images that start from real patches, copies of patches. The figures are upper ends of 95%
intervals on public chest films, and are all in ``studies/archive/attacks.json``
(``python -m studies attacks``); a test holds each bound to them. Attacks that find the same on
default runs as on what leaks have no bound here, nor has ``nearest-patch/1``: on films with wide
black borders anybody's windows are copies of anybody's, and its control does not fire.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gdshare.bundle.attacks import AttackName


@dataclass(frozen=True)
class StandardBound:
    """A bound, and why.

    Attributes:
        highest: the upper end of the attack's interval, at most.
        behind: the figures that it was chosen from, in words, on one line.
    """

    highest: float
    behind: str


STANDARD_BOUNDS: Mapping[AttackName, StandardBound] = {
    "identifiers/1": StandardBound(0.0, "a name or number that is found does not leave"),
    "membership-bundle/1": StandardBound(
        0.9, "default runs: 0.864; images of five patients alone: 0.907 to 0.983"
    ),
    "nearest-ratio/1": StandardBound(
        0.1, "default runs: 0.009, a ConvNet's: 0.018; images started from patches: 0.140"
    ),
}
