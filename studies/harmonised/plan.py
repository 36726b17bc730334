"""What is measured, and all cells, in the order to do them in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gdshare.method import Settings
from gdshare.pooling import SCHEMES, Scheme
from gdshare.protocol import Tone
from studies.harmonised.tones import Comparing, compare_tone
from studies.hospitals import Hospital
from studies.quality import plan as quality
from studies.quality.networks import COHORTS
from studies.quality.schedule import Cells, cells_of, cut_cell, in_fold
from studies.runner import Cell

TONE: Tone = "levels"
TONES: tuple[Tone, ...] = ("none", "equalise", TONE, "half")
KIND = "tones"

TONE_S = 45.0  # CPU-seconds of one tone in one fold


@dataclass(frozen=True)
class Plan:
    """What is measured.

    ``plain`` is the plan of ``studies.quality``, whose results are printed beside: the same
    patients, splits and films as they are.
    """

    shared: quality.Plan  # on films of ``TONE``
    plain: quality.Plan
    comparing: Comparing  # its tone is replaced


def harmonised(
    plain: quality.Plan, arms: tuple[Settings, ...], head_schemes: tuple[Scheme, ...]
) -> quality.Plan:
    """The same on films of ``TONE``, where heads come first and ``average`` is the pooling.

    A head is one network, so its figures stand alone; of networks that are trained whole, five
    vote together.
    """
    return replace(
        plain,
        protocol=plain.protocol.model_copy(update={"tone": TONE}),
        arms=arms,
        networks=5,
        teams=(1, 5),
        primary=1,
        schemes=("average",),
        head_schemes=head_schemes,
        scheme_networks=1,
        crossing=replace(plain.crossing, folds=0),
        smallest_first=True,
    )


HEAD = {"train": "head", "images": 3, "steps": 30, "outer_steps": 500, "batch": 2100}
HEAD |= {"outer": "adam", "outer_loss": "cross-entropy", "penalty": 0.0}
HEAD |= {"outer_rate": 0.1, "inner_rate": 5.0}
"""Written out, so that results in the archive outlive a change of defaults."""

FULL = Plan(
    harmonised(
        quality.FULL,
        (
            Settings.model_validate({"network": "convnet", **HEAD}),
            Settings.model_validate({"network": "resnet18", **HEAD}),
            quality.FULL.arms[0],
        ),
        SCHEMES,
    ),
    quality.FULL,
    Comparing("none", stride=quality.FULL.film_stride),
)

_HEAD = {"train": "head", "images": 3, "steps": 2, "outer_steps": 4, "batch": 12, "score_every": 2}
_HEAD |= {"score_patches": 20, "checkpoint_every": 2, "feature_patches": 20}

QUICK = Plan(
    harmonised(
        quality.QUICK,
        (
            Settings.model_validate({"network": "convnet", **_HEAD}),
            Settings.model_validate({"network": "resnet18", **_HEAD}),
            quality.QUICK.arms[0],
        ),
        quality.QUICK.schemes,
    ),
    quality.QUICK,
    Comparing("none", per_class=20, score_patches=20, penalties=(0.01, 0.1), stride=40),
)


def harmonised_cells(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """The cells of ``studies.quality`` on harmonised films; then the tones."""
    cells = cells_of(plan.shared, hospitals)
    known = {cell.name: cell for cell in cells}
    for fold in range(plan.shared.folds):
        for tone in TONES:
            protocol = plan.shared.protocol.model_copy(update={"tone": tone})
            own = replace(plan.shared, protocol=protocol)
            cohorts: Cells = {}
            for hospital in hospitals:
                cut = cut_cell(own, fold, hospital, KIND, tone)
                if tone == TONE:
                    cut = known[in_fold(fold, "cohort", hospital.name)]
                else:
                    cells.append(cut)
                cohorts[COHORTS + hospital.name] = cut
            comparing, seconds = replace(plan.comparing, tone=tone), plan.shared.cost(TONE_S)
            seed, name = quality.seed_of(plan.shared.seed, KIND, fold), tone_cell(fold, tone)
            cells.append(Cell(name, KIND, compare_tone, comparing, seed, cohorts, seconds))
    return cells


def tone_cell(fold: int, tone: str) -> str:
    """The name of the cell of one tone in one fold."""
    return in_fold(fold, "tone", tone)
