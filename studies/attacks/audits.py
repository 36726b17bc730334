"""The audits: what each compares a bundle with, and the attacks themselves."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import Effort, attack_all
from gdshare.audit.canary_sets import make_sets
from gdshare.audit.gathering import overfitted_sets
from gdshare.audit.shadows import FOLDER, Workshop, open_workshop
from gdshare.audit.side_by_side import Step
from gdshare.cli.audit import would_leave
from gdshare.cohort import Cohort, open_cohort
from gdshare.private.reference import Drawing
from gdshare.storage import make_folder
from studies.attacks.bundles import RUN, STARTS, Bundle, read_bundle
from studies.attacks.plan import Begin
from studies.hospitals import COHORT
from studies.runner import Piece, Result

BUNDLES, SHADOWS, CANARIES, AUDITS = "bundles", "shadows", "canaries", "audits"
"""Kinds of cells; but for audits also their roles where they are needed."""


@dataclass(frozen=True)
class Shadowing:
    """All that decides the shadows and the overfitted sets of an audit beside its bundle."""

    start: Begin
    drawing: Drawing
    shadows: int
    overfitted: int


@dataclass(frozen=True)
class Planting:
    """All that decides the sets with canaries beside the bundle."""

    start: Begin
    drawing: Drawing
    planted: tuple[int, int]


@dataclass(frozen=True)
class Auditing:
    """All that decides an audit beside its bundle, its shadows and its canaries."""

    start: Begin
    drawing: Drawing
    effort: Effort


def make_shadows(piece: Piece, shadowing: Shadowing) -> Result:
    """The cell that distils whatever an audit compares the bundle with."""
    make_folder(piece.folder / FOLDER)
    workshop = workshop_at(piece, piece.folder, shadowing.start, shadowing.drawing)
    step = _step(piece)
    for shadow in range(shadowing.shadows):
        workshop.shadow(shadow, step)
        piece.keep()
    overfitted_sets(workshop, shadowing.overfitted, step)
    return Result()


def make_canaries(piece: Piece, planting: Planting) -> Result:
    """The cell that distils the sets with canaries."""
    make_folder(piece.folder / FOLDER)
    workshop = workshop_at(piece, piece.folder, planting.start, planting.drawing)
    make_sets(workshop, (), planting.planted, _step(piece))
    return Result()


def workshop_at(piece: Piece, folder: Path, start: Begin, drawing: Drawing) -> Workshop:
    """Where the sets of the attacked bundle are made, or lie already."""
    cohort, bundle = attacked_bundle(piece)
    return open_workshop(
        *(bundle.record, bundle.distilled, cohort, seed_of(bundle.distilled), folder),
        *("cpu", None, lambda done, total: None, bundle.guarantee, drawing),
        STARTS[start],
    )


def _step(piece: Piece) -> Step:
    """Ends the piece when it is over; what is lost is less than a checkpoint's steps."""

    def step() -> None:
        if piece.over:
            piece.keep()

    return step


def make_audit(piece: Piece, auditing: Auditing) -> Result:
    """The cell that attacks."""
    cohort, bundle = attacked_bundle(piece)
    step = _step(piece)
    for role in (SHADOWS, CANARIES):
        made = piece.needs[role].folder / FOLDER
        shutil.copytree(made, piece.folder / FOLDER, dirs_exist_ok=True)
    audited = attack_all(
        *(bundle.record, bundle.distilled, cohort),
        progress=lambda done, total: step(),
        mode="full",
        folder=piece.folder,
        guarantee=bundle.guarantee,
        drawing=auditing.drawing,
        effort=auditing.effort,
        start=STARTS[auditing.start],
        leaving=would_leave(piece.needs[BUNDLES].folder / RUN, ()),
    )
    return Result({"audit": audited.record.model_dump(mode="json")})


def attacked_bundle(piece: Piece) -> tuple[Cohort, Bundle]:
    """What a cell attacks, and the cohort that it was distilled from."""
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    return cohort, read_bundle(piece.needs[BUNDLES].folder)
