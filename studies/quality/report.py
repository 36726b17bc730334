"""From the results of cells to tables: every model, every difference, and what it cost."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import mean as exact_mean

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue, TypeAdapter

from gdshare.cohort import Split, read_table
from gdshare.distill.score_record import CHANCE
from gdshare.errors import RunError
from gdshare.metrics import RESAMPLES, SOURCE_TABLE
from gdshare.seeding import numpy_generator
from studies.hospitals import Hospital
from studies.quality.cross import read_crossed
from studies.quality.figures import (
    PRIMARY,
    READINGS,
    Films,
    Rule,
    Team,
    Verdicts,
    Way,
    difference,
    judge,
    judge_without_oneself,
    merit,
    resampled,
    weights,
)
from studies.quality.networks import films_of
from studies.quality.plan import NETWORKS, NORMS, Baseline, Plan, Pooling
from studies.quality.schedule import in_fold
from studies.report import Report
from studies.runner import Cell, Result
from studies.tables import Float, Row, Table, Value, costs, deviation, mean, number

CROSS = "networks trained on each other's images"
MARK = " (primary)"
PAIRED_MODELS = 10  # of models alike but for their θ0, so many are held against a baseline

WAYS: dict[Way, str] = {
    "votes": "P / (P + N) of all votes together",
    "probabilities": "ratio of the probabilities of P and of P or N, summed over N and P windows",
}
RULES: dict[Rule, str] = {
    "source": "the source's ε, 0.4",
    "coarse": "ε of best HM on validation films, steps of 0.05",
    "fine": "ε of best HM on validation films, steps of 0.01",
    "own": "ε of best HM on each hospital's own validation films, steps of 0.05",
}

Voters = tuple[str, Team]  # an arm's network or a baseline's name, and which of its networks
Models = Sequence[Sequence[Verdicts]]  # [model][fold]
BySplit = Mapping[Split, Films]
Scores = TypeAdapter(dict[str, list[float]])  # of each way of pooling


@dataclass(frozen=True)
class Contender:
    """One row of the tables; several models are alike but for their θ0, and it is their mean."""

    name: str
    models: Sequence[Sequence[Voters]]  # [model][fold]
    primary: bool = False  # its figures are among those that were named beforehand


def disjoint(plan: Plan, pooling: Pooling, size: int) -> Contender:
    """The networks trained on one arm's images, in as many disjoint teams as they make."""
    starts = range(0, pooling.networks - size + 1, size)
    teams: list[Voters] = [(pooling.name, tuple(range(at, at + size))) for at in starts]
    primary = size == plan.primary and pooling == plan.poolings[0]
    models = [(team,) * plan.folds for team in teams]
    return Contender(f"{pooling.title}, k = {size}", models, primary)


def better_norm(
    plan: Plan, baselines: Sequence[Baseline], scores: Sequence[Mapping[str, float]]
) -> list[Contender]:
    """ResNet18 of each size: in each fold with the norm of better validation patch score.

    Chosen fold by fold, since another fold's validation patients may be this one's test patients.
    A size that lacks a norm is left out.
    """
    contenders = []
    for size in plan.sizes:
        rivals = [own for own in baselines if own.per_class == size and own.kind in NORMS]
        if len(rivals) == len(NORMS):
            names = [rival.name for rival in rivals]
            picks: list[Voters] = [(max(names, key=fold.__getitem__), (0,)) for fold in scores]
            name = f"{rivals[0].patches} real, ResNet18 better norm"
            contenders.append(Contender(name, [picks], primary=True))
    return contenders


def as_they_are(plan: Plan, baselines: Sequence[Baseline]) -> list[Contender]:
    return [Contender(own.title, [((own.name, (0,)),) * plan.folds]) for own in baselines]


@dataclass(frozen=True)
class Reader:
    plan: Plan
    hospitals: Sequence[Hospital]
    results: Mapping[str, Result]
    resamples: int = RESAMPLES

    def report(self, cells: Sequence[Cell]) -> Report:
        """All tables of what is complete; RunError if no arm and no baseline is."""
        tables = [
            *(table for way, rule in READINGS for table in self.reading(way, rule)),
            self._left_out(),
            self.patches(),
            *([self._transfers()] if self._is_complete(CROSS) else []),
            self.choices(),
            Table(
                "The source (Li et al. 2020), on other data, for orientation only",
                ("method", "images", "Sen", "Spe", "HM"),
                [(method, str(images), *map(number, own)) for method, images, *own in SOURCE_TABLE],
            ),
            costs("CPU-seconds, all folds together", cells, self.results, each=True),
        ]
        notes = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip()
        words = [notes.format(team=self.plan.primary, paired=PAIRED_MODELS), *self.lacking]
        figures = {
            "primary": {"way": PRIMARY[0], "rule": PRIMARY[1], "k": self.plan.primary},
            "missing": self.missing,
            "tables": [table.as_data() for table in tables],
        }
        return Report("\n\n".join([*words, *map(str, tables)]), figures)

    @cached_property
    def missing(self) -> list[tuple[str, int, int]]:
        return [gap for gap in self._gaps if gap[1] < gap[2]]

    @property
    def lacking(self) -> list[str]:
        """What is missing, in a sentence if anything is."""
        gaps = ", ".join(f"{what} ({done} of {total})" for what, done, total in self.missing)
        return [f"Not told, since not complete: {gaps}."] if gaps else []

    @cached_property
    def _folds(self) -> range:
        return range(self.plan.folds)

    @cached_property
    def _sites(self) -> list[str]:
        return [hospital.name for hospital in self.hospitals]

    @cached_property
    def _crossings(self) -> list[str]:
        folds = self._folds[: self.plan.crossing.folds]
        return [in_fold(fold, "cross", site) for fold in folds for site in self._sites]

    @cached_property
    def _gaps(self) -> list[tuple[str, int, int]]:
        """Of each arm, each baseline and the crossings: how many of its last cells are done."""
        sources = [(pooling.title, pooling.name) for pooling in self.plan.poolings]
        sources += [(baseline.title, baseline.name) for baseline in self.plan.baselines]
        last = {what: [in_fold(f, "films", name) for f in self._folds] for what, name in sources}
        if self._crossings:
            last[CROSS] = self._crossings
        return [(w, sum(n in self.results for n in names), len(names)) for w, names in last.items()]

    def _is_complete(self, what: str) -> bool:
        return any(name == what and done == total for name, done, total in self._gaps)

    @cached_property
    def _poolings(self) -> list[Pooling]:
        return [pooling for pooling in self.plan.poolings if self._is_complete(pooling.title)]

    @cached_property
    def _baselines(self) -> list[Baseline]:
        return [own for own in self.plan.baselines if self._is_complete(own.title)]

    @cached_property
    def ours(self) -> list[Contender]:
        pairs = product(self._poolings, self.plan.teams)
        return [disjoint(self.plan, own, size) for own, size in pairs if size <= own.networks]

    @cached_property
    def theirs(self) -> list[Contender]:
        scores = [{b.name: self._score(f, b.name) for b in self._baselines} for f in self._folds]
        norms = better_norm(self.plan, self._baselines, scores)
        return [*norms, *as_they_are(self.plan, self._baselines)]

    def _by_fold(self, *words: str, fact: str = "patch_score") -> list[Value]:
        return [number(self._score(fold, *words, fact=fact)) for fold in self._folds]

    def _score(self, fold: int, *words: str, fact: str = "patch_score") -> float:
        return self.results[in_fold(fold, *words)].number(fact)

    @cached_property
    def films(self) -> list[dict[str, BySplit]]:
        """What one fold's networks saw, by their source."""
        sources = [*(own.name for own in self._poolings), *(b.name for b in self._baselines)]
        if not sources:
            raise RunError(
                "no model is complete in all folds, so there is nothing to report",
                remedy="do the cells that are not done by the same command without --only",
            )
        diagnoses = [diagnoses_of(hospital) for hospital in self.hospitals]
        return [
            {s: films_of(self.results[in_fold(f, "films", s)], diagnoses) for s in sources}
            for f in self._folds
        ]

    def _weights(self, split: Split, purpose: str) -> list[Float]:
        """How often each film occurs in each resample, the same for every model."""
        return [
            weights(
                next(iter(films.values()))[split],
                numpy_generator(self.plan.seed, purpose, fold),
                self.resamples,
            )
            for fold, films in enumerate(self.films)
        ]

    @cached_property
    def drawn(self) -> list[Float]:
        return self._weights("test", "quality-resamples")

    def _judged(self, contender: Contender, judge: Callable[[BySplit, Team], Verdicts]) -> Models:
        return [
            [
                judge(films[source], team)
                for (source, team), films in zip(voters, self.films, strict=True)
            ]
            for voters in contender.models
        ]

    def verdicts(self, contender: Contender, way: Way, rule: Rule) -> Models:
        """How the folds' test films were judged, by each model with ε of its own."""
        return self._judged(contender, lambda f, team: judge(f["val"], f["test"], team, way, rule))

    def reading(self, way: Way, rule: Rule) -> tuple[Table, Table]:
        """All figures by one way from windows to films and one rule for ε; their differences."""
        primary = (way, rule) == PRIMARY
        rank = "Primary" if primary else "Secondary"
        rows: list[Row] = []
        figures, drawn = {}, self.drawn
        for contender in (*self.ours, *self.theirs):
            models = self.verdicts(contender, way, rule)
            mark = MARK * (primary and contender.primary)
            rows += _line(contender.name + mark, models, len(self._sites))
            figures[contender.name] = resampled(models[:PAIRED_MODELS], drawn)
        pairs: list[Row] = []
        for ours, theirs in product(self.ours, self.theirs):
            mark = MARK * (primary and ours.primary and theirs.primary)
            ahead = difference(figures[ours.name], figures[theirs.name])
            shown = (figure.shown(mark="*") for figure in ahead)
            pairs.append((f"{ours.name} - {theirs.name}{mark}", *shown))
        films = f"{rank}: films by {way} ({WAYS[way]}), {RULES[rule]}"
        differences = f"{rank}: differences by {way}, {RULES[rule]}"
        return (
            Table(films, ("model", "ε by fold", "all", *self._sites), rows),
            Table(differences, ("distilled minus baseline", "HM", "AUC"), pairs),
        )

    def _without_oneself(self, contender: Contender, rule: Rule) -> Models:
        return self._judged(contender, lambda f, team: judge_without_oneself(f["val"], team, rule))

    def _left_out(self) -> Table:
        drawn = self._weights("val", "quality-validation-resamples")
        rows: list[Row] = []
        for contender in (*self.ours, *self.theirs):
            common, own = (self._without_oneself(contender, rule) for rule in ("coarse", "own"))
            first, second = (resampled(models[:PAIRED_MODELS], drawn) for models in (own, common))
            gain = difference(first, second)[0].shown(mark="*")
            rows.append((contender.name, _harmonic_mean(common), _harmonic_mean(own), gain))
        return Table(
            "HM of validation films by votes, each patient's judged at the ε of the other patients "
            "(± over θ0): a common ε, or one of each hospital; no test patient has a part in it",
            ("model", "common", "own", "own - common"),
            rows,
        )

    def patches(self) -> Table:
        """Of networks that stand alone."""
        rows: list[Row] = []
        for contender in (*(disjoint(self.plan, own, 1) for own in self._poolings), *self.theirs):
            values = [
                [
                    self.results[in_fold(fold, "films", source)].numbers("patch_scores")[place]
                    for fold, (source, (place,)) in enumerate(voters)
                ]
                for voters in contender.models
            ]
            means = [mean(folds) for folds in values]
            by_fold = [number(mean(fold)) for fold in zip(*values, strict=True)]
            rows.append((contender.name, *_mean_and_spread(means), *by_fold))
        head = ("model", "mean", "±", *(f"fold {fold}" for fold in self._folds))
        return Table("Patch score on test patients (guessing is 0.333)", head, rows)

    def _transfers(self) -> Table:
        rows: list[Row] = []
        pieces = [read_crossed(self.results[name]) for name in self._crossings]
        for pairs in zip(*pieces, strict=True):
            scores = [mean(pair.values) for pair in pairs]
            factors = sorted(Counter(pair.factor for pair in pairs).items())
            shown = ", ".join(f"{factor:g}: {times}" for factor, times in factors)
            giver, receiver = NETWORKS[pairs[0].giver], NETWORKS[pairs[0].receiver]
            rows.append((f"images of {giver} train {receiver}", *_mean_and_spread(scores), shown))
        return Table(
            f"{CROSS.capitalize()}: patch score on a hospital's test patients, mean and ± over "
            f"folds and sites ({len(pieces)} in all); factor on the learned rates by validation "
            "patches, and how often",
            ("", "mean", "±", "factors"),
            [*rows, ("chance", number(CHANCE), "", "")],
        )

    def choices(self) -> Table:
        """A column for each fold."""
        rows: list[Row] = []
        for pooling in self._poolings:
            facts = [self.results[in_fold(f, "scheme", pooling.name)].facts for f in self._folds]
            prefix = f"{pooling.label}: "
            rows.append((prefix + "pooling", *(str(fold["scheme"]) for fold in facts)))
            scores = [Scores.validate_python(fold["scores"]) for fold in facts]
            for scheme in scores[0]:
                means = [number(mean(fold[scheme])) for fold in scores]
                rows.append((f"{prefix}pooled {scheme}", *means))
            for site in [] if pooling.beside else self._sites:
                words, name = ("distil", pooling.name, site), f"{prefix}images of {site}"
                rows.append((name, *self._by_fold(*words)))
                if pooling.arm.train == "head":
                    gaps = self._by_fold(*words, fact="train_score")
                    rows.append((f"{name}, training patches", *gaps))
        rows += [(own.name, *self._by_fold(own.name)) for own in self._baselines]
        head = ("patch score on validation patients", *(f"fold {fold}" for fold in self._folds))
        return Table("What validation patients decided", head, rows)


def diagnoses_of(hospital: Hospital) -> npt.NDArray[np.bool_]:
    """Bool [patients], in the order in which patients are numbered."""
    patients = {row.patient: row.positive for row in read_table(hospital.table)}
    return np.array([patients[name] for name in sorted(patients)], np.bool_)


def _mean_and_spread(values: Sequence[float]) -> tuple[Value, Value]:
    return number(mean(values)), number(deviation(values))


def _line(name: str, models: Models, sites: int) -> list[Row]:
    """The row of a reading: means over models and, of several models, their deviations below."""
    by_site = [[[fold.at(site) for fold in folds] for folds in models] for site in range(sites)]
    scopes = [_figures(own) for own in (models, *by_site)]
    epsilons = [
        [[float(verdicts.threshold[0]) for verdicts in fold] for fold in zip(*own, strict=True)]
        for own in by_site
    ]  # [site][fold][model]
    entries = []
    for figures, counts in scopes:
        means = _joined([mean(values) for values in figures])
        entries.append(Value(means.text, [means.data, counts]))
    rows: list[Row] = [(name, " ".join(map(_epsilon, zip(*epsilons, strict=True))), *entries)]
    if len(models) > 1:
        spreads = [_joined([deviation(values) for values in figures]) for figures, _ in scopes]
        rows.append((f"  ± of {len(models)}", "", *spreads))
    return rows


def _epsilon(sites: Sequence[Sequence[float]]) -> str:
    """A fold's ε, the mean over models: one, or where hospitals have their own, one of each."""
    means = [f"{exact_mean(models):.2f}" for models in sites]
    common = all(len(set(model)) == 1 for model in zip(*sites, strict=True))
    return means[0] if common else "/".join(means)


def _figures(models: Models) -> tuple[list[list[float]], JsonValue]:
    """Sen, Spe, HM, AUC: of each, every model's; and every model's counts."""
    merits = [merit(folds) for folds in models]
    counts = [own.confusion for own in merits]
    figures = [
        [count.sensitivity for count in counts],
        [count.specificity for count in counts],
        [count.harmonic_mean for count in counts],
        [own.auc for own in merits],
    ]
    return figures, [asdict(count) for count in counts]


def _joined(figures: Sequence[float | None]) -> Value:
    values = [number(figure) for figure in figures]
    return Value(" ".join(value.text for value in values), [value.data for value in values])


def _harmonic_mean(models: Models) -> Value:
    values = _figures(models)[0][2]
    spread = deviation(values)
    text = number(mean(values)).text + ("" if spread is None else f" ± {spread:.3f}")
    return Value(text, [mean(values), spread])
