"""``membership-lira/1``, ``membership-bundle/1`` and ``membership-shadows/1``.

All three are likelihood-ratio attacks with shadow distillations (``likelihood``); they differ in
what they look at:

``membership-lira/1``
    the networks that a receiver trains from the images: their confidence in a patient's windows.
``membership-bundle/1``
    the bundle itself: loss along the trajectory, and alignment of the last layer's update, jointly.
    The nearness of features stands beside them: it said nothing where the others did, and made a
    joint ratio worse.
``membership-shadows/1``
    not the images of the run but distillations like it: each shadow is attacked as a bundle, with
    the help of the others. There patients were in and out by a coin, so that every patient counts
    on both sides and far smaller rates can be resolved. Shadows have fewer patients than the run,
    and so each patient weighs more in them.

The intervals hold if chance decided who is a training patient: then images that do not depend on
who is in give chance, whatever makes some patients stand out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.audit.candidates import Candidates
from gdshare.audit.controls import Overfitted
from gdshare.audit.figures import Control, OneRun, Part, Result, Separation
from gdshare.audit.likelihood import Float, Shadows, each_left_out, log_ratios
from gdshare.audit.one_run import epsilon_bound, guess
from gdshare.audit.rates import Guesses, separation
from gdshare.audit.traces import STATISTICS, Trace
from gdshare.bundle.attacks import Attack
from gdshare.distilled import Distilled
from gdshare.seeding import numpy_generator

LIRA, BUNDLE, SHADOWS = "membership-lira/1", "membership-bundle/1", "membership-shadows/1"
OF_THE_BUNDLE = ("trajectory", "alignment")
LOOKS_AT: Mapping[str, Sequence[str]] = {
    LIRA: ("confidence",),
    BUNDLE: OF_THE_BUNDLE,
    SHADOWS: OF_THE_BUNDLE,
    **{statistic: (statistic,) for statistic in STATISTICS},
}
"""Attack, or statistic alone -> the statistics that are looked at jointly."""
CHANCE = 0.5
FEWEST_OF_A_CLASS = 10
"""Patients with windows of a class, for whose coins to be fair: of ten, one shadow in a thousand is
tossed again."""
GUESSED = 8
"""One patient in so many is guessed to be in, and as many to be out, in the one-run audit."""
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """What the attacks look at.

    Attributes:
        candidates: the patients.
        included: bool [S, n], the coins of the shadows.
        shadows: the statistics of each.
        target: those of the run's images.
        few: the control's sets, with their statistics.
        seed: of resampling.
        distilled: the run's images themselves.
        made: the shadows themselves.
    """

    candidates: Candidates
    included: Bool
    shadows: Sequence[Trace]
    target: Trace
    few: Sequence[tuple[Overfitted, Trace]]
    seed: int
    distilled: Distilled
    made: Sequence[Distilled]

    def shadows_of(self, name: str, by_patient: bool = True) -> Shadows:
        """What an attack looks at under every shadow, of patients or of single windows."""
        values = np.stack([self.observed(name, trace, by_patient) for trace in self.shadows], 1)
        people, owners = self.candidates, self.candidates.owners
        if by_patient:
            return Shadows(values, self.included, people.positive)
        return Shadows(values, self.included[:, owners], people.positive[owners])

    def observed(self, name: str, trace: Trace, by_patient: bool = True) -> Float:
        """What an attack looks at on one set of images: float64 [K, n], or of windows."""
        values = np.stack([trace[own] for own in LOOKS_AT[name]])
        return self.candidates.by_patient(values) if by_patient else values

    @property
    def is_online(self) -> bool:
        """Whether distributions with most patients are fitted, as well as without."""
        return self.shadows_of(LIRA).is_online

    def ratios(self, name: str, trace: Trace, by_patient: bool = True) -> Float:
        """Log likelihood ratios of an attack on a set of images, of patients or of windows."""
        return log_ratios(self.shadows_of(name, by_patient), self.observed(name, trace, by_patient))

    def guesses(self, scores: Float, member: Bool, patient: npt.NDArray[np.int64]) -> Guesses:
        """Scores of these patients, one or more of each."""
        return Guesses(scores, member, patient, self.candidates.positive[patient])

    def generator(self, purpose: str) -> np.random.Generator:
        """For resampling."""
        return numpy_generator(self.seed, f"audit-{purpose}")


def attack_bundle(name: str, evidence: Evidence) -> Result:
    """``membership-lira/1`` or ``membership-bundle/1`` on the run's images."""
    people = evidence.candidates
    everyone, owners = np.arange(len(people)), people.owners
    patients = separation(
        evidence.guesses(evidence.ratios(name, evidence.target), people.member, everyone),
        evidence.generator(name),
    )
    by_window = evidence.ratios(name, evidence.target, by_patient=False)
    patches = separation(
        evidence.guesses(by_window, people.member[owners], owners),
        evidence.generator(f"{name}-patches"),
    )
    return Result(
        attack=as_attack(name, patients),
        control=control_of(name, evidence),
        patients=patients,
        patches=patches,
        parts={own: _part(own, evidence) for own in STATISTICS} if name == BUNDLE else {},
    )


def _part(statistic: str, evidence: Evidence) -> Part:
    """A single statistic on the run's images, and on the control."""
    people = evidence.candidates
    scores = evidence.ratios(statistic, evidence.target)
    guesses = evidence.guesses(scores, people.member, np.arange(len(people)))
    patients = separation(guesses, evidence.generator(statistic))
    return Part(patients=patients, control=control_of(statistic, evidence))


def attack_shadows(evidence: Evidence) -> Result:
    """``membership-shadows/1``: every shadow, with the help of the others."""
    people = evidence.candidates
    ratios = each_left_out(evidence.shadows_of(SHADOWS))  # [S, n]
    count = len(evidence.shadows)
    patients = separation(
        evidence.guesses(
            ratios.ravel(),
            evidence.included.ravel(),
            np.tile(np.arange(len(people)), count),
        ),
        evidence.generator(SHADOWS),
    )
    return Result(
        attack=as_attack(SHADOWS, patients),
        control=control_of(SHADOWS, evidence),
        patients=patients,
    )


def control_of(name: str, evidence: Evidence) -> Control:
    """The same attack on sets that are overfitted to a few members."""
    people = evidence.candidates
    scores = [evidence.ratios(name, trace) for _, trace in evidence.few]
    members = [own.included for own, _ in evidence.few]
    patients = np.tile(np.arange(len(people)), len(scores))
    found = separation(
        evidence.guesses(np.concatenate(scores), np.concatenate(members), patients),
        evidence.generator(f"{name}-control"),
    )
    return overfitted_control(found, len(scores))


def overfitted_control(found: Separation, sets: int) -> Control:
    """What a membership attack found on overfitted sets."""
    return Control(
        what=f"sets distilled from 5 training patients alone: {sets}",
        figure=found.auc,
        low=found.low,
        high=found.high,
        unrelated=CHANCE,
    )


def fair_coins(people: Candidates) -> Bool:
    """Whose coins are as good as fair: bool [n].

    A shadow's coins are tossed again if a class would have no window. Where few patients have
    windows of a class, that favours these: the only one is in every shadow.
    """
    fair, training = np.ones(len(people), bool), people.training
    for label in np.unique(training.labels):
        owners = np.unique(training.films[training.labels == label])
        if len(owners) < FEWEST_OF_A_CLASS:
            fair[owners] = False
    return fair


def one_run(evidence: Evidence) -> OneRun | None:
    """Guess the coins of the second half of the shadows, with the first half's help.

    None where hardly anybody's coin is fair.

    The members of a run are not drawn by coins, those of shadows are: so the bound is of
    distillations like the run, from about half of the candidates.
    """
    shadows, count = evidence.shadows_of(SHADOWS), len(evidence.shadows)
    known, targets = shadows.of(np.arange(count // 2)), range(count // 2, count)
    fair = fair_coins(evidence.candidates)
    if fair.sum() < 2:
        return None
    each_side = max(1, int(fair.sum()) // GUESSED)
    right = sum(
        guess(log_ratios(known, shadows.values[:, s])[fair], evidence.included[s, fair], each_side)
        for s in targets
    )
    guesses = 2 * each_side * len(targets)
    bound = round(epsilon_bound(guesses, right), 3)
    return OneRun(runs=len(targets), guesses=guesses, right=right, epsilon=bound)


def as_attack(name: str, found: Separation) -> Attack:
    """A membership attack as a bundle tells it."""
    figure, low, high = (round(value, 3) for value in (found.auc, found.low, found.high))
    return Attack(name=name, figure=figure, low=low, high=high, unrelated=CHANCE)
