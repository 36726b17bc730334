"""From what networks saw and runs wrote to the source's tables, its own figures beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np
import numpy.typing as npt

from gdshare.cohort import Split
from gdshare.metrics import RESAMPLES, SOURCE_TABLE, THRESHOLDS, count
from gdshare.protocol import CLASSES
from gdshare.seeding import numpy_generator
from studies.hospitals import Hospital
from studies.quality.figures import (
    Resampled,
    Rule,
    Team,
    Verdicts,
    difference,
    judge,
    merit,
    ratios,
    resampled,
    weights,
)
from studies.quality.networks import films_of
from studies.quality.plan import arm_name
from studies.quality.report import BySplit, diagnoses_of
from studies.quality.report import Reader as Quality
from studies.quality.schedule import in_fold
from studies.report import Report
from studies.runner import Cell, Result
from studies.source.plan import DEFAULTS, Plan, Variant
from studies.tables import Row, Table, Value, costs, deviation, mean, number, with_interval

NOTES = """\
The source's experiments with today's defaults: wavelet scattering, whose last layer three images of
each hospital train from an announced θ0; hospitals' layers are averaged. Patients, splits, patches
and films of `studies quality`, whose archive has ResNet18's rows; 3, 9 and 30 images are those of
`studies rivals`. Films by votes, windows four times as far apart as in a round. HM is of the counts
summed over the folds' test films, AUC the mean over folds; 95% intervals and differences resample
patients within fold, site and diagnosis, and cover nothing else. * the interval leaves out 0; of so
many, not adjusted for their number, about one in twenty does so by chance.

The source's figures are of other data (815 gastric films, ResNet18, E = I = 3, one hospital,
ε 0.4), for orientation only: nothing is to be subtracted from them. It has no interval, no ε curve,
no curve by step, and no figure by M, E, I or ỹ0. Nothing here was chosen on test patients; that the
defaults themselves are not blind, the notes of `studies claim` say.

With one set of images, as by default, E and I count by their product alone. No image is kept in the
archive: `gdshare report RUN` draws those of a run."""

SOFT, HARD = (figures for _, images, *figures in SOURCE_TABLE if images == 3)
REAL = {str(images): figures for _, images, *figures in SOURCE_TABLE if images > 3}
READINGS: Mapping[Rule, str] = {"source": "at 0.4", "coarse": "at ε of validation films"}
OTHER_DATA = "the source (other data, for orientation): Sen"
TEAM: Team = (0,)


@dataclass(frozen=True)
class Model:
    """A network in every fold, and what it made of the films."""

    title: str
    images: str
    folds: Sequence[BySplit]
    source: Sequence[float] = ()  # Sen, Spe and HM there


@dataclass(frozen=True)
class Reader:
    plan: Plan
    hospitals: Sequence[Hospital]
    results: Mapping[str, Result]
    rivals: Mapping[str, Result]  # of ``studies.rivals``
    quality: Mapping[str, Result]  # of ``studies.quality``
    resamples: int = RESAMPLES

    def report(self, cells: Sequence[Cell]) -> Report:
        """All tables of what is complete in all folds."""
        first, *more = self.plan.shared.distilled
        base, real = self._rival(first, SOFT), self._real()
        shown = [own for variant in self.plan.variants for own in self._variant(variant)]
        hard, others = (([m for m in shown if bool(m.source) is own]) for own in (True, False))
        others += [own for images in more for own in self._rival(images)]
        tables = [
            *self._films("Experiment I: distilled images against ResNet18", base, real),
            *self._films("Experiment II: soft labels against hard ones", base, hard),
            *self._films("M, and other options", base, others),
            *self._learned(),
            *self._curves(),
            *self._thresholds([*base, *hard, *(own for own in real if own.source)]),
            *self._effects(),
            costs("CPU-seconds, all folds together", cells, self.results, each=False),
        ]
        names = [cell.name.rpartition("/")[2] for cell in cells if cell.name not in self.results]
        missing = [n for n in dict.fromkeys(names) if n.startswith(("runs-", "films-"))]
        words = [NOTES, *([f"Not complete in all folds: {', '.join(missing)}."] if missing else [])]
        if not base:
            words.append("Studies rivals has not shown the defaults' films: no figures of films.")
        data = {"missing": missing, "tables": [table.as_data() for table in tables]}
        return Report("\n\n".join([*words, *map(str, tables)]), data)

    @property
    def _folds(self) -> range:
        return range(self.plan.shared.shared.folds)

    @cached_property
    def _diagnoses(self) -> list[npt.NDArray[np.bool_]]:
        return [diagnoses_of(hospital) for hospital in self.hospitals]

    def _of(self, results: Mapping[str, Result], *words: str) -> list[Result]:
        """A cell's results in all folds; none if one of them is not done."""
        names = [in_fold(fold, *words) for fold in self._folds]
        return [results[name] for name in names] if all(n in results for n in names) else []

    def _models(
        self, title: str, images: int, films: Sequence[Result], source: Sequence[float] = ()
    ) -> list[Model]:
        folds = [films_of(own, self._diagnoses) for own in films]
        return [Model(title, f"{images} a hospital", folds, source)] if folds else []

    def _rival(self, images: int, source: Sequence[float] = ()) -> list[Model]:
        films = self._of(self.rivals, "films", f"distilled-{images}")
        return self._models(f"{images} distilled, soft labels", images, films, source)

    def _variant(self, variant: Variant) -> list[Model]:
        films = self._of(self.results, "films", variant.name)
        images = self.plan.settings(variant).images
        source = HARD if variant.options == {"labels": "hard"} else ()
        words = "soft labels" if list(variant.options) == ["images"] else variant.title
        return self._models(f"{images} distilled, {words}", images, films, source)

    def _real(self) -> list[Model]:
        """ResNet18 with the norm that validation patients chose in each fold; then with either."""
        reader = Quality(self.plan.shared.shared, self.hospitals, self.quality)
        models = []
        for own in reader.theirs if self.quality else []:
            (voters,) = own.models
            folds = [films[name] for (name, _), films in zip(voters, reader.films, strict=True)]
            source = REAL.get(own.name.partition(" ")[0], ()) if own.primary else ()
            models.append(Model(own.name, own.name.partition(" ")[0], folds, source))
        return models

    def _figures(self, model: Model, rule: Rule) -> tuple[list[Verdicts], Resampled]:
        judged = [judge(f["val"], f["test"], TEAM, "votes", rule) for f in model.folds]
        seed = self.plan.shared.shared.seed
        drawn = [
            weights(films["test"], numpy_generator(seed, "quality-resamples", n), self.resamples)
            for n, films in enumerate(model.folds)
        ]
        return judged, resampled([judged], drawn)

    def _films(self, title: str, base: Sequence[Model], others: Sequence[Model]) -> list[Table]:
        """Every model's figures, the source's beside; the first one minus each other."""
        if not base or not others:
            return []
        rows, pairs = list[Row](), list[Row]()
        first = [self._figures(base[0], rule)[1] for rule in READINGS]
        for model in (*base, *others):
            seen = [self._figures(model, rule) for rule in READINGS]
            gains = [
                difference(own, figures) for own, (_, figures) in zip(first, seen, strict=True)
            ]
            row: list[Value | str] = [model.title, model.images]
            for judged, figures in seen:
                counts = merit(judged).confusion
                row.append(" ".join(f"{fold.threshold[0]:.2f}" for fold in judged))
                row += [number(counts.sensitivity), number(counts.specificity)]
                row.append(with_interval(figures.harmonic_mean, figures.harmonic_means))
            row.append(with_interval(seen[0][1].auc, seen[0][1].aucs))
            rows.append([*row, *(map(number, model.source) if model.source else ("",) * 3)])
            shown = [hm.shown(mark="*") for hm, _ in gains]
            pairs.append((f"{base[0].title} - {model.title}", *shown, gains[0][1].shown(mark="*")))
        head = (
            "",
            "images",
            *("ε by fold", "Sen", "Spe", "HM") * 2,
            "AUC",
            OTHER_DATA,
            "Spe",
            "HM",
        )
        ways = (f"HM, {READINGS['source']}", f"HM, {READINGS['coarse']}", "AUC")
        return [
            Table(f"{title}; ε 0.4, then that of validation films", head, rows),
            Table(f"{title}: differences", ("", *ways), pairs[1:]),
        ]

    def _thresholds(self, models: Sequence[Model]) -> list[Table]:
        rows: list[Row] = []
        for epsilon in THRESHOLDS if models else ():
            hms = [_hm_at(own, split, epsilon) for own in models for split in ("val", "test")]
            rows.append((f"{epsilon:.2f}", *map(number, hms)))
        head = ("ε", *(f"{own.title}, {s}" for own in models for s in ("val", "test")))
        title = "HM by ε, validation and test films (the source gives 0.4 alone)"
        return [Table(title, head, rows)] if rows else []

    @cached_property
    def _runs(self) -> dict[Variant, list[Result]]:
        """Variant -> what is read of its runs, fold by fold; of those complete."""
        runs = {v: self._of(self.results, "runs", v.name) for v in (DEFAULTS, *self.plan.variants)}
        return {variant: folds for variant, folds in runs.items() if folds}

    def _learned(self) -> list[Table]:
        """Figure 3 without its images: labels and rates."""
        rows: list[Row] = []
        for variant, folds in self._runs.items():
            labels = np.concatenate([own.arrays["labels"] for own in folds])  # [runs, M, classes]
            rates = np.concatenate([own.arrays["rates"] for own in folds])  # [runs, inner steps]
            if labels.shape[1] == len(CLASSES) and rates.shape[1] == 1:
                for place, name in enumerate(CLASSES):
                    shown = [_spread(labels[:, place, own].tolist()) for own in range(len(CLASSES))]
                    rate = _spread(rates[:, 0].tolist(), 2) if place == 0 else ""
                    rows.append((f"{variant.title}, image of {name}", *shown, rate))
        head = ("mean ± over folds and hospitals", *CLASSES, "learned rate")
        title = (
            "Figure 3: learned labels and rate. The source (other data, for orientation): own "
            "class 0.75 to 0.77; rate 0.0073 with soft labels, 0.0618 with hard ones"
        )
        return [Table(title, head, rows)] if rows else []

    def _curves(self) -> list[Table]:
        if not self._runs:
            return []
        scores = [np.concatenate([f.arrays["scores"] for f in own]) for own in self._runs.values()]
        steps = next(iter(self._runs.values()))[0].arrays["steps"]
        rows: list[Row] = [
            (str(step), *(_spread(own[:, place].tolist()) for own in scores))
            for place, step in enumerate(steps.tolist())
        ]
        title = (
            "Patch score on validation patients by training step, mean ± over folds and hospitals"
        )
        return [Table(title, ("step", *(variant.title for variant in self._runs)), rows)]

    def _effects(self) -> list[Table]:
        """Patch scores of every variant and number of images, and gains on the defaults."""
        effects = {
            variant.title: [_facts(folds, name) for name in ("patch_scores", "train_scores")]
            for variant, folds in self._runs.items()
        }
        for images in self.plan.shared.distilled[1:]:
            if own := self._distilled(images):
                scores = ("patch_score", "train_score")
                effects[f"--images {images}"] = [[r.number(name) for r in own] for name in scores]
        rows: list[Row] = []
        for title, (validation, train) in effects.items():
            gains = np.subtract(validation, effects[DEFAULTS.title][0]).tolist()
            gain = "" if title == DEFAULTS.title else _spread(gains, signed=True)
            rows.append((title, _spread(validation), _spread(train), gain))
        head = ("", "validation patches", "training patches", "gain on the defaults")
        title = (
            "One option by itself: patch score of each hospital's images, mean ± over folds and "
            "hospitals (the best of 16 scores on these validation patches; guessing is 0.333)"
        )
        return [Table(title, head, rows)] if rows else []

    def _distilled(self, images: int) -> list[Result]:
        """What is known of the distillations of so many images; none if one is not done."""
        words = "distil", arm_name(self.plan.shared.arm), str(images)
        sites = [self._of(self.rivals, *words, own.name) for own in self.hospitals]
        return [own for fold in zip(*sites, strict=True) for own in fold] if all(sites) else []


def _hm_at(model: Model, split: Split, epsilon: float) -> float:
    """HM of the counts summed over the folds' films."""
    counts = [
        count(*ratios(fold[split], TEAM, "votes"), fold[split].positive, epsilon)
        for fold in model.folds
    ]
    return reduce(add, counts).harmonic_mean


def _facts(folds: Sequence[Result], name: str) -> list[float]:
    return [value for own in folds for value in own.numbers(name)]


def _spread(values: Sequence[float], digits: int = 3, signed: bool = False) -> Value:
    form, spread = f"{'+' if signed else ''}.{digits}f", deviation(values)
    beside = "" if spread is None else f" ± {spread:.{digits}f}"
    return Value(f"{mean(values):{form}}{beside}", [mean(values), spread])
