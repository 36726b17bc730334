"""What is measured: every number that decides a run, in one frozen value."""

from dataclasses import dataclass, replace

from gdshare.method import Settings
from studies.claim import plan as claim
from studies.hospitals import Phantoms
from studies.quality import plan as quality
from studies.rivals.fit import Fit
from studies.rivals.images import Matching


@dataclass(frozen=True)
class Federated:
    """Rounds of training at the hospitals; rate, steps and μ are chosen on validation patients."""

    rounds: tuple[int, ...] = (1, 5, 10)
    rates: tuple[float, ...] = (1e-3, 3e-4)  # Adam's
    steps: tuple[int, ...] = (10, 30)  # of a round at each hospital
    pulls: tuple[float, ...] = (0.01, 0.1)  # FedProx's μ
    batch: int = 32


@dataclass(frozen=True)
class Plan:
    """Everything that decides a run.

    ``shared`` is the plan of ``studies.quality``: its patients, splits, patches and films are used.
    Networks are the ConvNet, every training of which begins with the announced θ0, and scattering,
    whose last layer is solved.
    """

    shared: quality.Plan
    arm: Settings  # of ``studies.claim``: how images are distilled; their number is replaced
    real: Fit  # on real patches
    images: Fit  # on what hospitals send
    federated: Federated
    matching: Matching
    per_class: int = 1000  # real patches of each class at a hospital, at most
    validation: int = 300  # patches of each class that a choice looks at, all hospitals together
    patches: tuple[int, ...] = (9, 81, 300)  # that a hospital sends, of its own
    matched: tuple[int, ...] = (3, 9, 30)  # that a hospital sends, by distribution matching
    distilled: tuple[int, ...] = (3, 9, 30)  # that a hospital sends, distilled
    attacked: int = 1  # folds in which made images are attacked, from the first


FULL = Plan(
    quality.FULL,
    claim.FULL.shared.arms[0],
    Fit(),
    Fit(steps=150, every=25),
    Federated(),
    Matching(),
)

_FIT = Fit(rates=(1e-3,), steps=4, every=2, batch=8)
QUICK = Plan(
    # Attacks need 5 test patients of a diagnosis.
    replace(quality.QUICK, phantoms=Phantoms(hospitals=2, per_diagnosis=12)),
    claim.QUICK.shared.arms[0],
    _FIT,
    _FIT,
    Federated((1, 2), (1e-3,), (2,), (0.1,), 8),
    Matching(steps=3, batch=4),
    per_class=10,
    validation=20,
    patches=(3, 6),
    matched=(3, 6),
    distilled=(3, 6),
)
