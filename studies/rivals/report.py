"""From the results of cells to the table of rivals, and its picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gdshare.errors import RunError
from gdshare.metrics import RESAMPLES
from gdshare.networks import build
from gdshare.protocol import CLASSES
from gdshare.seeding import numpy_generator
from studies.hospitals import Hospital
from studies.quality import plan as quality
from studies.quality.figures import PRIMARY, Resampled, Team, judge, merit, resampled, weights
from studies.quality.networks import films_of
from studies.quality.plan import NETWORKS
from studies.quality.report import diagnoses_of
from studies.quality.schedule import in_fold
from studies.report import Report
from studies.rivals.cells import ALONE, Row, rows_of
from studies.rivals.plan import Plan
from studies.rivals.schedule import rivals_of
from studies.rivals.sending import REAL_PIXELS
from studies.runner import Cell, Result
from studies.tables import Table, Value, costs, deviation, mean, number, with_interval

NOTES = """\
Patients, splits, patches and films of `studies quality`; films by votes, at one ε for all hospitals
(best HM on validation films, steps of 0.05), but each hospital alone at its own. HM is of the
counts summed over the folds' test films, AUC the mean over folds, ± its deviation over folds.
Intervals (95%) resample patients within fold, site and diagnosis, and cover nothing else. One
network a row, but {team} that vote for the images of all weights. Networks are the ConvNet, from
the announced θ0, unless a row says scattering, whose last layer receivers solve. All that a rival's
settings are chosen by is validation patients of the same fold; those of the distilled images are
the defaults, and what made them so is on the results page.

Bytes are of float32 tensors as safetensors. CPU-seconds are a hospital's own, with the settings
that were chosen; what choosing and the receiver cost is in the last table. "Not attacked" says that
nobody looked, and nothing of what weights or sums give away. Each hospital alone judges its own
films: see the hospitals' columns, since ratios of different networks have no common AUC."""


DEFAULT = "3 distilled images, scattering"


@dataclass(frozen=True)
class Line:
    """A row of the table, all folds together."""

    row: Row
    figures: Resampled
    by_fold: list[float]  # AUC
    by_site: list[float]  # AUC

    @property
    def entries(self) -> list[Value | str]:
        row, figures = self.row, self.figures
        return [
            row.title,
            with_interval(figures.harmonic_mean, figures.harmonic_means),
            with_interval(figures.auc, figures.aucs),
            number(deviation(self.by_fold)),
            *map(number, self.by_site),
            Value(f"{row.sends:,}", row.sends),
            Value(f"{row.receives:,}", row.receives),
            Value(f"{row.seconds:.0f}", row.seconds),
            Value(str(row.rounds), row.rounds),
            row.audit,
        ]


@dataclass(frozen=True)
class Reader:
    plan: Plan
    hospitals: Sequence[Hospital]
    results: Mapping[str, Result]  # of the rivals
    shared: Mapping[str, Result]  # of ``studies.quality``, where its cells are those of the plan
    resamples: int = RESAMPLES

    @cached_property
    def lines(self) -> list[Line]:
        """Every row that is complete in all folds; RunError if none is."""
        names = [rival.name for rival in rivals_of(self.plan, 0)]
        lines = [line for name in names if self._is_done(name) for line in self._rival(name)]
        lines += self._of_quality()
        if not lines:
            remedy = "do the cells that are not done by the same command without --only"
            raise RunError("no rival is complete in all folds", remedy=remedy)
        return lines

    def report(self, cells: Sequence[Cell]) -> Report:
        lines = self.lines
        sites = [f"AUC {hospital.name}" for hospital in self.hospitals]
        bytes_ = ("bytes sent", "received")
        head = ("method", "HM", "AUC", "±", *sites, *bytes_, "CPU-s", "rounds", "audit")
        tables = [
            Table("Rivals, as one hospital sees them", head, [line.entries for line in lines]),
            costs("CPU-seconds, all folds together", cells, self.results, each=True),
        ]
        words = [NOTES.format(team=self.plan.shared.primary)]
        names = [rival.name for rival in rivals_of(self.plan, 0)]
        if missing := [name for name in names if not self._is_done(name)]:
            words.append(f"Not complete in all folds: {', '.join(missing)}.")
        figures = {"missing": missing, "tables": [table.as_data() for table in tables]}
        text = "\n\n".join([*words, *map(str, tables)])
        return Report(text, figures, self._answer)

    @property
    def _answer(self) -> str:
        """Empty before the default's images are there."""
        ours = [line for line in self.lines if line.row.title == DEFAULT]
        if not ours:
            return ""
        [own] = ours
        more = [
            f"{line.row.title} ({line.figures.auc:.2f}, {line.row.sends:,} bytes)"
            for line in self.lines
            if line.row.sends and line.figures.auc > own.figures.auc and line is not own
        ]
        return (
            f"Three distilled images of each hospital reach AUC {own.figures.auc:.2f} in "
            f"{own.row.sends:,} bytes; more is reached by {', '.join(more) or 'nothing'}."
        )

    @cached_property
    def _diagnoses(self) -> list[npt.NDArray[np.bool_]]:
        return [diagnoses_of(hospital) for hospital in self.hospitals]

    @property
    def _folds(self) -> range:
        return range(self.plan.shared.folds)

    def _is_done(self, name: str) -> bool:
        return all(in_fold(fold, "films", name) in self.results for fold in self._folds)

    def _rival(self, name: str) -> list[Line]:
        rows = [rows_of(self.results[in_fold(fold, name)]) for fold in self._folds]
        films = [self.results[in_fold(fold, "films", name)] for fold in self._folds]
        return [
            self._line(_over_folds(folds), films, [(place,)])
            for place, folds in enumerate(zip(*rows, strict=True))
        ]

    def _of_quality(self) -> list[Line]:
        """Distilled images and pooled real patches, as far as ``studies.quality`` has them."""
        plan, count, lines = self.plan.shared, len(self.hospitals), list[Line]()
        side, models = plan.protocol.side, {name: _model_bytes(plan, name) for name in NETWORKS}
        for arm in plan.arms:
            cells = [
                in_fold(fold, "distil", arm.network, hospital.name)
                for fold in self._folds
                for hospital in self.hospitals
            ]
            seconds = sum(self.shared[n].cpu_seconds for n in cells if n in self.shared)
            starts = range(0, plan.networks - plan.primary + 1, plan.primary)
            teams = [tuple(range(at, at + plan.primary)) for at in starts]
            network = NETWORKS[arm.network]
            title = f"{arm.images} images for all weights of {network}, k = {plan.primary}"
            sent, received = arm.images * _labelled(side), plan.primary * models[arm.network]
            row = Row(title, sent, received, seconds / len(cells), 1, "see docs/results.md")
            lines += self._shared_line(row, str(arm.network), teams)
        for own in plan.baselines:
            sent, received = own.patches // count * _labelled(side), models[own.network]
            row = Row(own.title, sent, received, rounds=1, audit=REAL_PIXELS)
            lines += self._shared_line(row, own.name, [(0,)])
        return lines

    def _shared_line(self, row: Row, source: str, teams: Sequence[Team]) -> list[Line]:
        names = [in_fold(fold, "films", source) for fold in self._folds]
        films = [self.shared[name] for name in names if name in self.shared]
        return [self._line(row, films, teams)] if len(films) == len(names) else []

    def _line(self, row: Row, results: Sequence[Result], teams: Sequence[Team]) -> Line:
        folds = [films_of(result, self._diagnoses) for result in results]
        (way, rule), seed = PRIMARY, self.plan.shared.seed
        rule = "own" if row.title.startswith(ALONE) else rule
        models = [[judge(f["val"], f["test"], team, way, rule) for f in folds] for team in teams]
        drawn = [
            weights(films["test"], numpy_generator(seed, "quality-resamples", fold), self.resamples)
            for fold, films in enumerate(folds)
        ]
        sites = range(len(self.hospitals))
        return Line(
            row,
            resampled(models, drawn),
            [mean([merit([own[fold]]).auc for own in models]) for fold in self._folds],
            [mean([merit([v.at(site) for v in own]).auc for own in models]) for site in sites],
        )


def _over_folds(folds: Sequence[Row]) -> Row:
    """A row of every fold -> one: the means of what is measured, and the audit that was made."""
    audit = next((row.audit for row in folds if row.audit), "not attacked")
    return replace(
        folds[0],
        sends=round(mean([row.sends for row in folds])),
        receives=round(mean([row.receives for row in folds])),
        seconds=mean([row.seconds for row in folds]),
        audit=audit,
    )


def _labelled(side: int) -> int:
    """Bytes of an image and its label."""
    return 4 * (side**2 + len(CLASSES))


def _model_bytes(plan: quality.Plan, network: str) -> int:
    return 4 * sum(p.numel() for p in build(network, plan.protocol.side).parameters())
