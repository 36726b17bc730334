"""From the results of cells to tables: every model, every difference, and what it cost.

A row is printed once it is complete in all folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean as exact_mean

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue, TypeAdapter

from gdshare.cohort import Split, read_table
from gdshare.distill.score import CHANCE
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.metrics import RESAMPLES, SOURCE_TABLE
from gdshare.seeding import numpy_generator
from studies.command import Report
from studies.hospitals import Hospital
from studies.intervals import Float, deviation, mean
from studies.quality.cross import read_crossed
from studies.quality.figures import (
    PRIMARY,
    READINGS,
    Merit,
    Rule,
    Verdicts,
    Way,
    judge_without_oneself,
    merit,
)
from studies.quality.films import films_of
from studies.quality.lineup import (
    Contender,
    FoldFilms,
    arm_title,
    as_they_are,
    better_norm,
    disjoint,
    verdicts,
)
from studies.quality.notes import MARK, NOTES, PAIRED_MODELS, RULES, WAYS
from studies.quality.paired import difference, resampled, weights
from studies.quality.plan import NETWORKS, Baseline, Plan
from studies.quality.schedule import in_fold
from studies.runner import Cell, Result
from studies.tables import Row, Table, Value, costs, number
from studies.tables import difference as shown

ALL = "all"
CROSS = "networks trained on each other's images"
FIRST = slice(PAIRED_MODELS)  # of models alike but for their θ0, the first few stand for all


@dataclass(frozen=True)
class Complete:
    """The arms and baselines whose films are seen in all folds, and what they saw.

    Attributes:
        ours, theirs: the rows of arms and of baselines.
        singles: the rows of networks that stand alone.
        films: of each fold.
        drawn: of each fold, how often each film occurs in each resample, the same for all models.
    """

    arms: Sequence[Settings]
    baselines: Sequence[Baseline]
    ours: Sequence[Contender]
    theirs: Sequence[Contender]
    singles: Sequence[Contender]
    films: Sequence[FoldFilms]
    drawn: Mapping[Split, Sequence[Float]]


@dataclass(frozen=True)
class Reader:
    """The results of a plan."""

    plan: Plan
    hospitals: Sequence[Hospital]
    results: Mapping[str, Result]
    resamples: int = RESAMPLES

    def report(self, cells: Sequence[Cell]) -> Report:
        """All tables of what is complete.

        Raises:
            RunError: no arm and no baseline is.
        """
        gaps = self._gaps()
        complete = self._complete({what for what, done, total in gaps if done == total})
        crossed = (CROSS, *(2 * (len(self._crossings()),)))
        tables = [
            *(table for way, rule in READINGS for table in self._reading(complete, way, rule)),
            self._left_out(complete),
            self._patches(complete.singles),
            *([self._transfers()] if crossed in gaps else []),
            self._choices(complete),
            _source(),
            costs("CPU-seconds, all folds together", cells, self.results, each=True),
        ]
        missing = [gap for gap in gaps if gap[1] < gap[2]]
        words = [note.format(team=self.plan.primary) for note in NOTES]
        if missing:
            told = ", ".join(f"{what} ({done} of {total})" for what, done, total in missing)
            words.append(f"Not told, since not complete: {told}.")
        figures = {
            "plan": self.plan.as_data(),
            "primary": {"way": PRIMARY[0], "rule": PRIMARY[1], "k": self.plan.primary},
            "missing": missing,
            "tables": [table.as_data() for table in tables],
        }
        return Report("\n\n".join([*words, *map(str, tables)]), figures)

    def _gaps(self) -> list[tuple[str, int, int]]:
        """Of each arm, each baseline and the crossings: how many of its last cells are done."""
        sources = [(arm_title(arm), str(arm.network)) for arm in self.plan.arms]
        sources += [(one.title, one.name) for one in self.plan.baselines]
        last = [
            (title, [in_fold(fold, "films", source) for fold in range(self.plan.folds)])
            for title, source in sources
        ]
        last.append((CROSS, self._crossings()))
        return [(what, sum(n in self.results for n in names), len(names)) for what, names in last]

    def _crossings(self) -> list[str]:
        folds = range(min(self.plan.crossing.folds, self.plan.folds))
        return [in_fold(fold, "cross", one.name) for fold in folds for one in self.hospitals]

    def _complete(self, titles: set[str]) -> Complete:
        plan, folds = self.plan, range(self.plan.folds)
        arms = [arm for arm in plan.arms if arm_title(arm) in titles]
        baselines = [one for one in plan.baselines if one.title in titles]
        sources = [*(arm.network for arm in arms), *(one.name for one in baselines)]
        if not sources:
            raise RunError(
                "no model is complete in all folds, so there is nothing to report; do the cells "
                "that are not done by the same command without --only"
            )
        scores = [{b.name: self._real_score(fold, b) for b in baselines} for fold in folds]
        theirs = [*better_norm(plan, baselines, scores), *as_they_are(plan, baselines)]
        diagnoses = [_diagnoses(one) for one in self.hospitals]
        films: list[FoldFilms] = [
            {
                source: films_of(self.results[in_fold(fold, "films", source)], diagnoses)
                for source in sources
            }
            for fold in folds
        ]
        purposes: dict[Split, str] = {
            "test": "quality-resamples",
            "val": "quality-validation-resamples",
        }
        drawn = {
            split: [
                weights(
                    films[fold][sources[0]][split],
                    numpy_generator(plan.seed, purpose, fold),
                    self.resamples,
                )
                for fold in folds
            ]
            for split, purpose in purposes.items()
        }
        ours = [disjoint(plan, arm, size) for arm in arms for size in plan.teams]
        singles = [*(disjoint(plan, arm, 1) for arm in arms), *theirs]
        return Complete(arms, baselines, ours, theirs, singles, films, drawn)

    def _real_score(self, fold: int, baseline: Baseline) -> float:
        return self.results[in_fold(fold, baseline.name)].number("patch_score")

    def _reading(self, complete: Complete, way: Way, rule: Rule) -> tuple[Table, Table]:
        """All figures by one way from windows to films and one rule for ε; their differences."""
        primary = (way, rule) == PRIMARY
        rank = "Primary" if primary else "Secondary"
        everybody = [*complete.ours, *complete.theirs]
        judged = {one.name: verdicts(one, complete.films, way, rule) for one in everybody}
        sites = [one.name for one in self.hospitals]
        rows = [
            row
            for one in everybody
            for row in _line(
                one.name + MARK * (primary and one.primary), judged[one.name], len(sites)
            )
        ]
        found = {
            name: resampled(models[FIRST], complete.drawn["test"])
            for name, models in judged.items()
        }
        pairs = []
        for ours in complete.ours:
            for theirs in complete.theirs:
                gain = difference(found[ours.name], found[theirs.name])
                mark = MARK * (primary and ours.primary and theirs.primary)
                pairs.append(
                    (
                        f"{ours.name} - {theirs.name}{mark}",
                        shown(gain.harmonic_mean, gain.harmonic_mean_interval, mark="*"),
                        shown(gain.auc, gain.auc_interval, mark="*"),
                    )
                )
        title = f"{rank}: films by {way} ({WAYS[way]}), {RULES[rule]}"
        return (
            Table(title, ("model", "ε by fold", ALL, *sites), rows),
            Table(
                f"{rank}: differences by {way}, {RULES[rule]}",
                ("distilled minus baseline", "HM", "AUC"),
                pairs,
            ),
        )

    def _left_out(self, complete: Complete) -> Table:
        rules: tuple[Rule, Rule] = ("coarse", "own")
        rows = []
        for contender in (*complete.ours, *complete.theirs):
            common, own = (
                [
                    [
                        judge_without_oneself(films[one.source]["val"], one.team, rule)
                        for one, films in zip(voters, complete.films, strict=True)
                    ]
                    for voters in contender.models
                ]
                for rule in rules
            )
            drawn = complete.drawn["val"]
            gain = difference(resampled(own[FIRST], drawn), resampled(common[FIRST], drawn))
            rows.append(
                (
                    contender.name,
                    _harmonic_mean([merit(one) for one in common]),
                    _harmonic_mean([merit(one) for one in own]),
                    shown(gain.harmonic_mean, gain.harmonic_mean_interval, mark="*"),
                )
            )
        return Table(
            "HM of validation films by votes, each patient's judged at the ε of the other patients "
            "(± over θ0): a common ε, or one of each hospital; no test patient has a part in it",
            ("model", "common", "own", "own - common"),
            rows,
        )

    def _patches(self, contenders: Sequence[Contender]) -> Table:
        rows: list[Row] = []
        for contender in contenders:
            values = [
                [
                    self.results[in_fold(fold, "films", one.source)].numbers("patch_scores")[
                        one.team[0]
                    ]
                    for fold, one in enumerate(voters)
                ]
                for voters in contender.models
            ]
            means = [mean(folds) for folds in values]
            by_fold = [number(mean(fold)) for fold in zip(*values, strict=True)]
            rows.append((contender.name, number(mean(means)), number(deviation(means)), *by_fold))
        head = ("model", "mean", "±", *self._folds())
        return Table("Patch score on test patients (guessing is 0.333)", head, rows)

    def _transfers(self) -> Table:
        rows: list[Row] = []
        pieces = [read_crossed(self.results[name]) for name in self._crossings()]
        for pairs in zip(*pieces, strict=True):
            values, factors = [mean(one.values) for one in pairs], [one.factor for one in pairs]
            told = ", ".join(f"{one:g}: {factors.count(one)}" for one in sorted(set(factors)))
            giver, receiver = NETWORKS[pairs[0].giver], NETWORKS[pairs[0].receiver]
            name = f"images of {giver} train {receiver}"
            rows.append((name, number(mean(values)), number(deviation(values)), told))
        return Table(
            f"{CROSS.capitalize()}: patch score on a hospital's test patients, mean and ± over "
            f"folds and sites ({len(pieces)} in all); factor on the learned rates by validation "
            "patches, and how often",
            ("", "mean", "±", "factors"),
            [*rows, ("chance", number(CHANCE), "", "")],
        )

    def _choices(self, complete: Complete) -> Table:
        """A column for each fold."""
        folds = range(self.plan.folds)
        rows: list[Row] = []
        for network in (arm.network for arm in complete.arms):
            schemes = [self.results[in_fold(fold, "scheme", network)].facts for fold in folds]
            prefix = f"{NETWORKS[network]}: "
            rows.append((prefix + "pooling", *(str(facts["scheme"]) for facts in schemes)))
            scores = [
                TypeAdapter(dict[str, list[float]]).validate_python(facts["scores"])
                for facts in schemes
            ]
            rows += [
                (f"{prefix}pooled {scheme}", *(number(mean(fold[scheme])) for fold in scores))
                for scheme in scores[0]
            ]
            rows += [
                (
                    f"{prefix}images of {one.name}",
                    *(self._image_score(fold, network, one.name) for fold in folds),
                )
                for one in self.hospitals
            ]
        rows += [
            (one.name, *(number(self._real_score(fold, one)) for fold in folds))
            for one in complete.baselines
        ]
        head = ("patch score on validation patients", *self._folds())
        return Table("What validation patients decided", head, rows)

    def _image_score(self, fold: int, network: str, site: str) -> Value:
        return number(self.results[in_fold(fold, "distil", network, site)].number("patch_score"))

    def _folds(self) -> list[str]:
        return [f"fold {fold}" for fold in range(self.plan.folds)]


def _diagnoses(hospital: Hospital) -> npt.NDArray[np.bool_]:
    """Bool [patients]: positive, in the order in which patients are numbered."""
    patients = {row.patient: row.positive for row in read_table(hospital.table)}
    return np.array([patients[name] for name in sorted(patients)], np.bool_)


def _line(name: str, models: Sequence[Sequence[Verdicts]], sites: int) -> list[Row]:
    """The row of a reading: means over models and, of several models, their deviations below."""
    scopes = [[merit(folds) for folds in models]]
    scopes += [
        [merit([one.at(site) for one in folds]) for folds in models] for site in range(sites)
    ]
    epsilons = [  # [fold][model][site]; each fold has test films of each hospital
        [[float(one.at(site).threshold[0]) for site in range(sites)] for one in models_of_fold]
        for models_of_fold in zip(*models, strict=True)
    ]
    told = Value(" ".join(map(_epsilon, epsilons)), [[list(m) for m in fold] for fold in epsilons])
    rows: list[Row] = [(name, told, *map(_means, scopes))]
    if len(models) > 1:
        rows.append((f"  ± of {len(models)}", "", *map(_deviations, scopes)))
    return rows


def _epsilon(models: Sequence[Sequence[float]]) -> str:
    """A fold's ε, the mean over models: one, or where hospitals have their own, one of each."""
    sites = [f"{exact_mean(one):.2f}" for one in zip(*models, strict=True)]
    common = all(len(set(model)) == 1 for model in models)
    return sites[0] if common else "/".join(sites)


def _figures(merits: Sequence[Merit]) -> list[list[float]]:
    """Sen, Spe, HM, AUC: of each, every model's."""
    counts = [one.confusion for one in merits]
    return [
        [one.sensitivity for one in counts],
        [one.specificity for one in counts],
        [one.harmonic_mean for one in counts],
        [one.auc for one in merits],
    ]


def _means(merits: Sequence[Merit]) -> Value:
    means = [number(mean(values)) for values in _figures(merits)]
    counts: list[JsonValue] = [asdict(one.confusion) for one in merits]
    return Value(" ".join(one.text for one in means), [*(one.data for one in means), counts])


def _deviations(merits: Sequence[Merit]) -> Value:
    spreads = [number(deviation(values)) for values in _figures(merits)]
    return Value(" ".join(one.text for one in spreads), [one.data for one in spreads])


def _harmonic_mean(merits: Sequence[Merit]) -> Value:
    values = _figures(merits)[2]
    spread = deviation(values)
    text = number(mean(values)).text + ("" if spread is None else f" ± {spread:.3f}")
    return Value(text, [mean(values), spread])


def _source() -> Table:
    rows = [(m, str(n), number(a), number(b), number(c)) for m, n, a, b, c in SOURCE_TABLE]
    title = "The source (Li et al. 2020), on other data, for orientation only"
    return Table(title, ("method", "images", "Sen", "Spe", "HM"), rows)
