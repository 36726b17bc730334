"""The cells, in the order to do them in."""

from collections.abc import Sequence
from dataclasses import replace

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
from studies.attacks.plan import Kind, Plan
from studies.hospitals import Hospital, cohort_cell
from studies.runner import Cell


def cells_of(plan: Plan, hospitals: Sequence[Hospital]) -> list[Cell]:
    """All cells."""
    cohorts = {
        own.name: replace(cohort_cell(own, plan.protocol), name=f"cohort-{own.name}")
        for own in hospitals
    }
    cells = [cell for own in hospitals for cell in (*own.needs.values(), cohorts[own.name])]
    for seed, kind, site in attacked(plan, hospitals):
        cut, name = cohorts[site.name], name_of(site.name, kind, seed)
        making = Making(kind.settings, kind.start, kind.budget, plan.shape, plan.drawing)
        effort = plan.effort
        shadowing = Shadowing(kind.start, plan.drawing, effort.shadows, effort.overfitted)
        auditing = Auditing(kind.start, plan.drawing, effort)
        bundle = Cell(
            *(f"bundle-{name}", BUNDLES, make_bundle, making, seed, {"cohort": cut}),
            cpu_seconds=kind.cpu_seconds,
        )
        needs = {"cohort": cut, BUNDLES: bundle}
        distillations = effort.shadows + effort.overfitted
        shadows = Cell(
            *(f"shadows-{name}", SHADOWS, make_shadows, shadowing, seed, needs),
            cpu_seconds=0.7 * distillations * kind.cpu_seconds,  # a shadow reads no patches
            resumable=True,
            version=2 if kind.budget else 1,
        )
        planting = Planting(kind.start, plan.drawing, effort.planted)
        canaries = Cell(
            *(f"canaries-{name}", CANARIES, make_canaries, planting, seed, needs),
            cpu_seconds=sum(effort.planted) * kind.cpu_seconds,
            resumable=True,
            version=2 if kind.budget else 1,
        )
        made = {**needs, SHADOWS: shadows, CANARIES: canaries}
        audit = Cell(
            *(f"audit-{name}", AUDITS, make_audit, auditing, seed, made),
            cpu_seconds=8 * kind.cpu_seconds,
            resumable=kind.settings.train == "all",  # then what is read of a set is kept
            version=2,
        )
        cells += [bundle, shadows, canaries, audit]
    return cells


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
