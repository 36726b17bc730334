"""The cells, in the order to do them in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from studies.attacks.audits import (
    AUDITS,
    BUNDLES,
    CANARIES,
    SHADOWS,
    Auditing,
    Planting,
    Shadowing,
    make_audit,
    make_canaries,
    make_shadows,
)
from studies.attacks.bundles import Making, make_bundle
from studies.attacks.image_sets import SetMaking
from studies.attacks.images import ImagesAttack, attack_images
from studies.attacks.plan import Images, Kind, Plan
from studies.attacks.repeats import OF_REPEAT, REPEATS, Repeating, make_repeats
from studies.hospitals import Hospital, cohort_cell
from studies.readings import READ, images_cell, reading_of_images
from studies.runner import Cell, Store

IMAGES = "attacked-images"
"""Kind of cells."""
READING = 36
"""Of a network trained whole, the CPU-seconds of an audit by those of a distillation."""


ATTACKS_S = 60.0
"""CPU-seconds of all attacks on sets of images, which have thousands of patients."""


def cells_of(plan: Plan, hospitals: Sequence[Hospital], read: Cell | None) -> list[Cell]:
    """All cells; ``read``: what reads the plan's images, None without any."""
    cohorts = {
        own.name: replace(cohort_cell(own, plan.protocol), name=f"cohort-{own.name}")
        for own in hospitals
    }
    cells = [cell for own in hospitals for cell in (*own.needs.values(), cohorts[own.name])]
    for seed, kind, site in attacked(plan, hospitals):
        repeats = kind.repeats if seed == 0 and site == hospitals[0] else 0
        cells += _cells_of_bundle(plan, cohorts[site.name], site.name, kind, seed, repeats)
    if plan.images is not None and read is not None:
        cells += [*read.needs.values(), read]
        cells += [_cell_of_images(plan, kind, plan.images, read) for kind in plan.images.kinds]
    return list({cell.name: cell for cell in cells}.values())  # with more seeds, some are repeats


def reading_cell(plan: Plan, store: Store, data: Path) -> Cell | None:
    """What reads the plan's images; None without any."""
    if plan.images is None:
        return None
    reading = reading_of_images(plan.protocol, plan.images.shape, plan.drawing)
    return images_cell(reading, plan.images.synthetic, store, data)


def _cells_of_bundle(
    plan: Plan, cohort: Cell, site: str, kind: Kind, seed: int, repeats: int
) -> list[Cell]:
    """A bundle, what it is compared with, and the attacks; its repeats, and the attacks on them."""
    name, effort = name_of(site, kind, seed), plan.effort
    making = Making(kind.settings, kind.start, kind.budget, plan.shape, plan.drawing)
    shadowing = Shadowing(kind.start, plan.drawing, effort.shadows, effort.overfitted)
    planting = Planting(kind.start, plan.drawing, effort.planted)
    auditing = Auditing(kind.start, plan.drawing, effort)
    whole = kind.settings.train == "all"

    def bundle_of(seed: int) -> Cell:
        return Cell(
            *(f"bundle-{name_of(site, kind, seed)}", BUNDLES, make_bundle, making, seed),
            needs={"cohort": cohort},
            cpu_seconds=kind.cpu_seconds,
        )

    bundle = bundle_of(seed)
    needs = {"cohort": cohort, BUNDLES: bundle}
    distillations = effort.shadows + effort.overfitted
    shadows = Cell(
        *(f"shadows-{name}", SHADOWS, make_shadows, shadowing, seed, needs),
        # A shadow reads no patches; with a guarantee, it is distilled from fewer features.
        cpu_seconds=(0.5 if kind.budget else 0.7) * distillations * kind.cpu_seconds,
        resumable=True,
        version=2 if kind.budget else 1,
    )
    canaries = Cell(
        *(f"canaries-{name}", CANARIES, make_canaries, planting, seed, needs),
        cpu_seconds=0.8 * sum(effort.planted) * kind.cpu_seconds,
        resumable=True,
        version=2 if kind.budget else 1,
    )
    audit = Cell(
        *(f"audit-{name}", AUDITS, make_audit, auditing, seed),
        needs={**needs, SHADOWS: shadows, CANARIES: canaries},
        cpu_seconds=(READING if whole else 5) * kind.cpu_seconds,
        resumable=whole,  # then what is read of a set is kept
        version=2,
    )
    cells = [bundle, shadows, canaries, audit]
    if repeats:
        others = {f"{OF_REPEAT}{own}": bundle_of(own) for own in range(1, repeats + 1)}
        repeating = Repeating(kind.start, plan.drawing, effort)
        repeated = Cell(
            *(f"repeats-{name}", REPEATS, make_repeats, repeating),
            needs={**needs, SHADOWS: shadows, **others},
            cpu_seconds=3 * kind.cpu_seconds,
        )
        cells += [*others.values(), repeated]
    return cells


def _cell_of_images(plan: Plan, kind: Kind, images: Images, read: Cell) -> Cell:
    """Sets of images of one kind, and the attacks on them."""
    reading = reading_of_images(plan.protocol, images.shape, plan.drawing)
    making = SetMaking(kind.settings, reading, kind.budget)
    effort = plan.effort
    distillations = effort.shadows + effort.overfitted + kind.repeats + 1
    return Cell(
        *(name_of_images(kind), IMAGES, attack_images),
        ImagesAttack(making, effort.shadows, effort.overfitted, kind.repeats),
        needs={READ: read},
        cpu_seconds=distillations * kind.cpu_seconds + ATTACKS_S,
        resumable=True,
    )


def attacked(plan: Plan, hospitals: Sequence[Hospital]) -> list[tuple[int, Kind, Hospital]]:
    """Seed, kind and hospital of each bundle: all that concerns the first hospital comes first."""
    return [
        (seed, kind, site)
        for seed in range(plan.seeds)
        for place, site in enumerate(hospitals)
        for kind in plan.kinds
        if place < kind.sites
    ]


def name_of(site: str, kind: Kind, seed: int) -> str:
    """What its cells are called."""
    return f"{site}-{kind.word}-{seed}"


def name_of_images(kind: Kind) -> str:
    """What the cell of a kind of sets of images is called."""
    return f"images-{kind.word}"
