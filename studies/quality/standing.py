"""What of a benchmark is done: a row is told once it is complete in all folds."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.pieces.claims import Piece, done
from gdshare.method import Settings
from studies.quality.costs import Spent, spent_on
from studies.quality.fold import Fold
from studies.quality.lineup import arm_title
from studies.quality.plan import Baseline

CROSS = "networks trained on each other's images"


@dataclass(frozen=True)
class Gap:
    """Something that is not told yet.

    Attributes:
        what: an arm, a baseline, or the table of networks trained on each other's images.
        done: how many of its last pieces are done.
        total: how many there are.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Standing:
    """What of a benchmark is done.

    Attributes:
        arms, baselines: those whose films are seen in all folds.
        crossed: whether every network was trained on every other's images, in all folds planned.
        gaps: what is not complete.
        spent: on every piece that is done.
    """

    arms: tuple[Settings, ...]
    baselines: tuple[Baseline, ...]
    crossed: bool
    gaps: tuple[Gap, ...]
    spent: tuple[Spent, ...]

    @property
    def sources(self) -> list[str]:
        """Whose films are seen in all folds."""
        return [arm.network for arm in self.arms] + [one.name for one in self.baselines]


def standing(folds: Sequence[Fold], pieces: Sequence[Piece]) -> Standing:
    """Look at which pieces are done.

    Raises:
        RunError: the record of a piece is damaged.
    """
    out, plan = folds[0].out, folds[0].plan
    arms = [_gap(folds, arm_title(arm), arm.network) for arm in plan.arms]
    baselines = [_gap(folds, one.title, one.name) for one in plan.baselines]
    crossed = folds[: plan.crossing.folds]
    crossings = [done(out, fold.cross(site)) for fold in crossed for site in fold.sites]
    cross = Gap(CROSS, sum(crossings), len(crossings))
    return Standing(
        tuple(arm for arm, gap in zip(plan.arms, arms, strict=True) if _closed(gap)),
        tuple(one for one, gap in zip(plan.baselines, baselines, strict=True) if _closed(gap)),
        _closed(cross),
        tuple(gap for gap in (*arms, *baselines, cross) if not _closed(gap)),
        spent_on(out, pieces),
    )


def _gap(folds: Sequence[Fold], what: str, source: str) -> Gap:
    """Films are the last thing that is done of an arm or a baseline in a fold."""
    return Gap(what, sum(done(fold.out, fold.films(source)) for fold in folds), len(folds))


def _closed(gap: Gap) -> bool:
    return gap.done == gap.total
