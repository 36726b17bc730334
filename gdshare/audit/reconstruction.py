"""``reconstruction-images/1``, ``reconstruction-networks/1`` and ``reconstruction-trajectory/1``.

What stands in a few patients' films: can it be read back? Nothing can be planted in a run once it
is made. So canaries (``canaries``) are planted in distillations like the run, from its own training
patients and with its settings, and sought there (``readback``):

``reconstruction-images/1``
    in the images themselves.
``reconstruction-networks/1``
    in networks that a receiver trains from them: does a canary turn the verdict on a stranger's
    window towards the diagnosis of those who carry it?
``reconstruction-trajectory/1``
    in what the training did to the weights: inputs that would have done the same (``inversion``)
    are looked at as the images are.

Each figure is of canaries that a single patient carries; beside it stands that of ten. The scores
are compared with those of shadows, which hold no canary.

The controls are distilled from five training patients all of whom carry a canary; for the images,
windows that carry one stand in their place; for the networks too, labelled, where five patients'
sets do not fire. Whether gradient inversion works at all is seen on updates that single windows
make by themselves, where it is known to succeed. That is kept beside the trajectory's control, and
is none: it does not show that inversion sees through a distillation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gdshare.audit.canaries import KINDS, LIST, Canary, Int, Kind, canaries
from gdshare.audit.canary_sets import Sets, make_sets
from gdshare.audit.carriers import asked_windows, carrying_windows, window_sets
from gdshare.audit.figures import Control, Readback, Recognition, Result, Untried
from gdshare.audit.inversion import Update, invert, own_update
from gdshare.audit.readback import Float, Scored, compared, listen, look, recognition
from gdshare.audit.receivers import receiver_of
from gdshare.audit.shadows import Workshop
from gdshare.audit.side_by_side import Step
from gdshare.bundle.attacks import Attack
from gdshare.distilled import Distilled
from gdshare.method import RunRecord
from gdshare.networks import Parameters
from gdshare.protocol import PatchClass
from gdshare.seeding import numpy_generator

IMAGES, NETWORKS, TRAJECTORY = (
    f"reconstruction-{where}/1" for where in ("images", "networks", "trajectory")
)
NAMES = (IMAGES, NETWORKS, TRAJECTORY)
CHANCE = 0.5
NULLS = 8
"""Shadows that scores are compared with, at most."""
GROUPS, MOST_WINDOWS = 6, 4
"""Of the images' control: groups of windows in place of images, and windows in each at most."""
UPDATES = 6
"""Windows' own updates, to see whether gradient inversion works at all."""
TOO_FEW = (
    "canaries need six training patients of each diagnosis, and five with windows of every class"
)
Score = Callable[[Distilled], Float]


def reconstruct(
    workshop: Workshop,
    record: RunRecord,
    distilled: Distilled,
    nulls: Sequence[Distilled],
    counts: tuple[int, int],
    shared: Parameters | None,
    step: Step,
) -> tuple[list[Result], list[Untried]]:
    """Plant canaries in distillations like the run, and try to read them back.

    Args:
        workshop: of the audit; sets are made and kept there.
        record, distilled: of the run: how its images are to be trained on.
        nulls: the audit's shadows.
        counts: how many sets are planted, and how many for the controls.
        shared: the weights of the shared model that is the run's announced θ0, if it is one.
        step: called after each training step of a set.

    Returns:
        the attacks that were made, and those that were not.
    """
    sets = make_sets(workshop, nulls[:NULLS], counts, step)
    if sets is None:
        return [], [Untried(name=name, why=TOO_FEW) for name in NAMES]
    return attack_sets(workshop, record, distilled, sets, shared), []


def attack_sets(
    workshop: Workshop,
    record: RunRecord,
    distilled: Distilled,
    sets: Sets,
    shared: Parameters | None,
) -> list[Result]:
    """Make the three attacks and their controls.

    Args:
        workshop, record, distilled, shared: as for ``reconstruct``.
        sets: that hold canaries, and that hold none.
    """
    listed, seed = canaries(), workshop.seed
    asked = torch.from_numpy(asked_windows(workshop, listed))
    receiver = receiver_of(workshop.problem, record, distilled, asked, seed, shared)

    def inverted(update: Update) -> Float:
        return look(invert(update, asked.shape[-1]), listed)

    images = _attack(IMAGES, lambda own: look(own.images[:, 0], listed), sets, listed, seed)
    networks = _attack(
        NETWORKS, lambda own: listen(receiver.verdicts(own), listed), sets, listed, seed
    )
    trajectory = _attack(TRAJECTORY, lambda own: inverted(receiver.update(own)), sets, listed, seed)
    size = min(len(distilled.images), MOST_WINDOWS)
    groups = carrying_windows(workshop, listed, GROUPS, size)
    leaking = images.compare([look(own, listed) for own, _ in groups], [who for _, who in groups])
    results = [
        images.result(leaking, f"windows that carry a canary, in place of images: {GROUPS} times"),
    ]
    first = networks.carried(networks.few, "control")
    if first.low > CHANCE:
        results.append(networks.result(networks.few, networks.few_name))
    else:
        labelled = window_sets(workshop, listed, distilled, GROUPS)
        leaking = networks.compare(
            [listen(receiver.verdicts(own), listed) for own, _ in labelled],
            [who for _, who in labelled],
        )
        what = f"windows that carry a canary, labelled, in place of images: {GROUPS} times"
        results.append(networks.result(leaking, what, first))
    network = receiver.update(distilled)
    single = carrying_windows(workshop, listed, UPDATES, 1)
    known = trajectory.compare(
        [inverted(_update_of(network, own, who, listed)) for own, who in single],
        [who for _, who in single],
    )
    method = trajectory.carried(known, "method")
    return [*results, trajectory.result(trajectory.few, trajectory.few_name, method=method)]


def _update_of(
    network: Update, images: npt.NDArray[np.float32], carried: Int, listed: Sequence[Canary]
) -> Update:
    """The update that a window with a canary makes by itself."""
    label = PatchClass.P if listed[int(carried.argmax())].positive else PatchClass.N
    return own_update(network, torch.from_numpy(images[:, None]).to(network.moved.device), label)


@dataclass(frozen=True, eq=False)
class _Attack:
    """What an attack found on all sets.

    Attributes:
        name: of the attack.
        nulls: scores on shadows, float64 [N, C].
        planted, few: on the sets like the run, and on the control's.
        listed: the canaries.
        seed: of resampling.
    """

    name: str
    nulls: Float
    planted: Scored
    few: Scored
    listed: Sequence[Canary]
    seed: int

    @property
    def few_name(self) -> str:
        """What the control is made on."""
        return f"sets distilled from 5 patients all of whom carry a canary: {len(self.few.scores)}"

    def compare(self, scores: Sequence[Float], carried: Sequence[Int]) -> Scored:
        """Scores on other things, compared with the same shadows."""
        return _scored(scores, carried, self.nulls, self.listed)

    def carried(self, scored: Scored, purpose: str) -> Recognition:
        """How well the canaries that anybody carries are recognised."""
        return self._recognised(scored, scored.carried > 0, purpose)[0]

    def result(
        self,
        leaking: Scored,
        what: str,
        few: Recognition | None = None,
        method: Recognition | None = None,
    ) -> Result:
        """The attack with its control, with what the control would have been, and its method's."""
        control, carried = self.carried(leaking, "control"), self.planted.carried
        single = self._recognised(self.planted, carried == 1, "single")
        figure, low, high = (
            round(value, 3) for value in (single[0].auc, single[0].low, single[0].high)
        )
        return Result(
            attack=Attack(name=self.name, figure=figure, low=low, high=high, unrelated=CHANCE),
            control=Control(
                what=what,
                figure=control.auc,
                low=control.low,
                high=control.high,
                unrelated=CHANCE,
            ),
            readback=Readback(
                canaries=LIST,
                sets=len(carried),
                nulls=len(self.nulls),
                single=single,
                several=self._recognised(self.planted, carried > 1, "several"),
                few=few,
                method=method,
            ),
        )

    def _recognised(
        self, scored: Scored, planted: npt.NDArray[np.bool_], purpose: str
    ) -> tuple[Recognition, ...]:
        """Of all kinds together, then of each; of none where nothing can be compared."""
        generator = numpy_generator(self.seed, f"audit-{self.name}-{purpose}")
        every: list[Sequence[Kind]] = [KINDS, *((kind,) for kind in KINDS)]
        found = [recognition(scored, planted, generator, kinds) for kinds in every]
        return tuple(own for own in found if own is not None)


def _attack(name: str, score: Score, sets: Sets, listed: Sequence[Canary], seed: int) -> _Attack:
    """Score all sets."""
    nulls = np.stack([score(own) for own in sets.nulls])
    planted, few = (
        _scored(
            [score(own.distilled) for own in part],
            [own.planting.carried for own in part],
            nulls,
            listed,
        )
        for part in (sets.planted, sets.few)
    )
    return _Attack(name, nulls, planted, few, listed, seed)


def _scored(
    scores: Sequence[Float], carried: Sequence[Int], nulls: Float, listed: Sequence[Canary]
) -> Scored:
    kinds = tuple(canary.kind for canary in listed)
    positive = tuple(canary.positive for canary in listed)
    return Scored(compared(np.stack(scores), nulls, kinds), np.stack(carried), kinds, positive)
