"""The audits: what each compares a bundle with, and the attacks themselves."""

import shutil
from dataclasses import dataclass

from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import Effort, attack_all, overfitted_sets
from gdshare.audit.shadows import FOLDER, open_workshop
from gdshare.cli.audit import would_leave
from gdshare.cohort import Cohort, open_cohort
from gdshare.private.reference import Drawing
from gdshare.storage import make_folder
from studies.attacks.bundles import RUN, STARTS, Bundle, read_bundle
from studies.attacks.plan import Begin
from studies.hospitals import COHORT
from studies.runner import Piece, Result

BUNDLES, SHADOWS, AUDITS = "bundles", "shadows", "audits"
"""Kinds of cells; of bundles and shadows also their roles where they are needed."""


@dataclass(frozen=True)
class Shadowing:
    """All that decides the shadows and the overfitted sets of an audit beside its bundle."""

    start: Begin
    drawing: Drawing
    shadows: int
    overfitted: int


@dataclass(frozen=True)
class Auditing:
    """All that decides an audit beside its bundle and its shadows."""

    start: Begin
    drawing: Drawing
    effort: Effort


def make_shadows(piece: Piece, shadowing: Shadowing) -> Result:
    """The cell that distils whatever an audit compares the bundle with."""
    cohort, bundle = _attacked(piece)
    make_folder(piece.folder / FOLDER)
    workshop = open_workshop(
        *(bundle.record, bundle.distilled, cohort, seed_of(bundle.distilled), piece.folder),
        *("cpu", None, lambda done, total: None, bundle.guarantee, shadowing.drawing),
        STARTS[shadowing.start],
    )

    def step() -> None:
        if piece.over:
            piece.keep()

    for shadow in range(shadowing.shadows):
        workshop.shadow(shadow, step)
        piece.keep()
    overfitted_sets(workshop, shadowing.overfitted, step)
    return Result()


def make_audit(piece: Piece, auditing: Auditing) -> Result:
    """The cell that attacks."""
    cohort, bundle = _attacked(piece)
    shutil.copytree(piece.needs[SHADOWS].folder / FOLDER, piece.folder / FOLDER, dirs_exist_ok=True)
    audited = attack_all(
        *(bundle.record, bundle.distilled, cohort),
        mode="full",
        folder=piece.folder,
        guarantee=bundle.guarantee,
        drawing=auditing.drawing,
        effort=auditing.effort,
        start=STARTS[auditing.start],
        leaving=would_leave(piece.needs[BUNDLES].folder / RUN, ()),
    )
    return Result({"audit": audited.record.model_dump(mode="json")})


def _attacked(piece: Piece) -> tuple[Cohort, Bundle]:
    cohort = open_cohort(piece.needs["cohort"].folder / COHORT)
    return cohort, read_bundle(piece.needs[BUNDLES].folder)
