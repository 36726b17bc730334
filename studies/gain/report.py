"""From what networks saw to the tables of the study."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gdshare.metrics import RESAMPLES
from gdshare.seeding import numpy_generator
from studies.gain.picture import draw
from studies.gain.plan import KIND, Plan
from studies.gain.trainings import ALONE, EVERYONE, MIX, OTHERS, START, TEAMS, WAYS
from studies.hospitals import Hospital
from studies.quality.figures import Resampled, Verdicts, difference, judge, resampled, weights
from studies.quality.networks import films_of
from studies.quality.report import diagnoses_of
from studies.quality.schedule import in_fold
from studies.report import Report
from studies.runner import Cell, Result
from studies.tables import Float, Row, Table, Value, costs, mean, with_interval

NOTHING = "others' model, ε of the others' validation films"

Models = Sequence[Sequence[Verdicts]]  # [seed][fold], of one hospital's test films
Figures = Mapping[str, Resampled]  # contender -> its figures


def figures_at(plan: Plan, hospital: Hospital, results: Mapping[str, Result]) -> Figures:
    """Contender -> its figures on one hospital's test films; of several seeds, the means."""
    site, folds = hospital.name, range(plan.folds)
    seen = [results[in_fold(fold, KIND, site, "films")] for fold in folds]
    epsilon = [results[in_fold(fold, KIND, site, "epsilon")].number("epsilon") for fold in folds]
    films = [films_of(result, [diagnoses_of(hospital)]) for result in seen]
    teams = [TEAMS.validate_python(result.facts["teams"]) for result in seen]

    def judged(fold: int, name: str, number: int) -> Verdicts:
        team = teams[fold][name][number]
        return judge(films[fold]["val"], films[fold]["test"], team, "votes", "coarse")

    models: dict[str, Models] = {
        name: [[judged(fold, name, number) for fold in folds] for number in range(len(own))]
        for name, own in teams[0].items()
    }
    others = models[OTHERS][0]
    models[NOTHING] = [[at_epsilon(own, e) for own, e in zip(others, epsilon, strict=True)]]
    drawn = [
        weights(films[fold]["test"], numpy_generator(fold, f"gain-{site}"), RESAMPLES)
        for fold in folds
    ]
    return {name: over_seeds(own, drawn) for name, own in models.items()}


def at_epsilon(verdicts: Verdicts, epsilon: float) -> Verdicts:
    """The same ratios judged at another ε."""
    return replace(verdicts, threshold=np.full(len(verdicts.ratio), epsilon))


def over_seeds(models: Models, drawn: Sequence[Float]) -> Resampled:
    """The mean over seeds; every resample draws patients, and seeds as well."""
    each, whole = [resampled([own], drawn) for own in models], resampled(models, drawn)
    shape = len(each), len(drawn[0])
    picked = numpy_generator(0, "gain-seeds").integers(len(each), size=shape)

    def redrawn(samples: Sequence[Float]) -> Float:
        means: Float = np.take_along_axis(np.stack(samples), picked, axis=0).mean(0)
        return means

    hms, aucs = [own.harmonic_means for own in each], [own.aucs for own in each]
    return replace(whole, harmonic_means=redrawn(hms), aucs=redrawn(aucs))


def over_hospitals(sites: Sequence[Resampled]) -> Resampled:
    """The mean, in which each hospital counts the same."""
    return Resampled(
        mean([site.harmonic_mean for site in sites]),
        mean([site.auc for site in sites]),
        np.mean([site.harmonic_means for site in sites], axis=0),
        np.mean([site.aucs for site in sites], axis=0),
    )


def report_of(
    plan: Plan,
    hospitals: Sequence[Hospital],
    results: Mapping[str, Result],
    cells: Sequence[Cell],
) -> Report:
    """All tables, and the picture."""
    sites = {own.name: figures_at(plan, own, results) for own in hospitals}
    names = list(next(iter(sites.values())))
    whole = {name: over_hospitals([own[name] for own in sites.values()]) for name in names}
    tables = [
        table
        for scope, figures in {"mean of the hospitals": whole, **sites}.items()
        for table in (*_curves(plan, scope, figures), *_gains(plan, scope, figures))
    ]
    tables.append(costs("CPU-seconds", cells, results, each=False))
    data = {"tables": [table.as_data() for table in tables]}
    text = "\n\n".join([NOTES.format(start=START), *map(str, tables)])
    return Report(text, data, _answer(plan, whole), draw(whole, plan.patients))


def _answer(plan: Plan, figures: Mapping[str, Resampled]) -> str:
    fewest = min(plan.patients)
    alone, helped = (figures[f"{way}/{fewest}"].auc for way in (ALONE, START))
    return (
        f"With {fewest} training patients of its own a hospital reaches AUC {helped:.2f} if it "
        f"starts from the others' images, and {alone:.2f} alone; the others' model as it comes has "
        f"{figures[OTHERS].auc:.2f}."
    )


NOTES = """\
Scattering's last layer. A hospital's own test films, by votes; AUC is the mean over folds, HM of
the counts summed over them. ε has the best HM on its own validation films, in steps of 0.05, except
in the row of a hospital that has none. Columns: own training patients; 0: none, where "{start}" is
the others' model; all: the images of all own training patients. Validation patients are all the
hospital has, whatever the column. 95% intervals: test patients, and seeds (which own patients),
drawn with replacement."""


def _curves(plan: Plan, scope: str, figures: Figures) -> list[Table]:
    """AUC and HM by the number of own training patients."""
    counts = [0, *plan.patients]
    lines: list[tuple[str, list[Resampled | None]]] = [
        (way, [*(figures.get(f"{way}/{count}") for count in counts), None]) for way in WAYS
    ]
    gap = [None] * len(plan.patients)
    lines += [(name, [figures[name], *gap, None]) for name in (OTHERS, NOTHING)]
    lines.append((EVERYONE, [None, *gap, figures[EVERYONE]]))
    head = ("own training patients", *map(str, counts), "all")
    aucs: list[Row] = [(name, *(_auc(own) for own in line)) for name, line in lines]
    hms: list[Row] = [(name, *(_hm(own) for own in line)) for name, line in lines]
    return [Table(f"AUC, {scope}", head, aucs), Table(f"HM, {scope}", head, hms)]


def _gains(plan: Plan, scope: str, figures: Figures) -> list[Table]:
    """Paired differences by the number of own training patients."""
    pairs = [(START, ALONE), (MIX, ALONE), (START, OTHERS), (ALONE, OTHERS)]
    aucs, hms = list[Row](), list[Row]()
    for first, second in pairs:
        gains = [
            difference(figures[f"{first}/{n}"], figures.get(f"{second}/{n}") or figures[second])
            for n in plan.patients
        ]
        name = f"{first} - {second}"
        hms.append((name, *(hm.shown(mark="*") for hm, _ in gains)))
        aucs.append((name, *(area.shown(mark="*") for _, area in gains)))
    head = ("own training patients", *map(str, plan.patients))
    return [
        Table(f"Difference of AUC, {scope} (*: the interval leaves out 0)", head, aucs),
        Table(f"Difference of HM, {scope} (*: the interval leaves out 0)", head, hms),
    ]


def _auc(own: Resampled | None) -> Value:
    return with_interval(own.auc, own.aucs) if own else Value("", None)


def _hm(own: Resampled | None) -> Value:
    return with_interval(own.harmonic_mean, own.harmonic_means) if own else Value("", None)
