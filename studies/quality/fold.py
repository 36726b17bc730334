"""One fold's folder: the names of its pieces, and what later pieces read of earlier ones."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pieces.claims import Facts, facts
from gdshare.cohort import Cohort, open_cohort, read_table
from gdshare.method import Settings
from studies.quality.folds import COHORT
from studies.quality.plan import Baseline, Plan

RUN = "run"


@dataclass(frozen=True)
class Fold:
    """One fold of a benchmark.

    Attributes:
        out: folder of the whole benchmark.
        plan: what is measured.
        number: of the fold, from 0.
        sites: the hospitals' names.
        tables: their tables of films.
    """

    out: Path
    plan: Plan
    number: int
    sites: tuple[str, ...]
    tables: tuple[Path, ...]

    def cohort(self, site: str) -> str:
        """The piece that cuts one hospital's patches."""
        return self._piece(f"cohort-{site}")

    def distil(self, arm: Settings, site: str) -> str:
        """The piece that distils them on one arm's network."""
        return self._piece(f"distil-{arm.network}-{site}")

    def scheme(self, arm: Settings) -> str:
        """The piece that chooses an arm's way of pooling."""
        return self._piece(f"scheme-{arm.network}")

    def real(self, baseline: Baseline) -> str:
        """The piece that trains one network on real patches."""
        return self._piece(baseline.name)

    def films(self, source: str) -> str:
        """The piece in which an arm's or a baseline's networks see the films.

        Args:
            source: the arm's network, or the baseline's name.
        """
        return self._piece(f"films-{source}")

    def cross(self, site: str) -> str:
        """The piece that tries one hospital's images on every arm's network."""
        return self._piece(f"cross-{site}")

    @cached_property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Every hospital's patches."""
        return tuple(open_cohort(self.out / self.cohort(site) / COHORT) for site in self.sites)

    @cached_property
    def patients(self) -> tuple[dict[str, bool], ...]:
        """Of every hospital, patient -> positive, in the order in which patients are numbered."""
        return tuple(_patients(table) for table in self.tables)

    @property
    def diagnoses(self) -> tuple[npt.NDArray[np.bool_], ...]:
        """Of every hospital, bool [patients]: positive."""
        return tuple(np.array(list(one.values()), np.bool_) for one in self.patients)

    def run(self, arm: Settings, site: str) -> Path:
        """The folder of one hospital's distillation on one arm's network."""
        return self.out / self.distil(arm, site) / RUN

    def facts(self, piece: str) -> Facts:
        """What one of the pieces left to be known.

        Raises:
            RunError: it is not done.
        """
        return facts(self.out, piece)

    def _piece(self, name: str) -> str:
        return f"fold-{self.number}/{name}"


def _patients(table: Path) -> dict[str, bool]:
    return dict(sorted({row.patient: row.positive for row in read_table(table)}.items()))
