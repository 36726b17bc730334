"""From the results of cells to tables: the claim, every model on harmonised films, the tones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from gdshare.errors import RunError
from studies.harmonised.plan import TONE, TONES, Plan, tone_cell
from studies.harmonised.tones import HEADS
from studies.hospitals import Hospital
from studies.quality.figures import (
    PRIMARY,
    Resampled,
    Rule,
    Verdicts,
    Way,
    difference,
    judge,
    merit,
    resampled,
)
from studies.quality.networks import films_of
from studies.quality.plan import KIND_NAMES
from studies.quality.report import PAIRED_MODELS, Contender, Models, Reader, diagnoses_of
from studies.report import Report
from studies.runner import Cell, Result
from studies.tables import Difference, Row, Table, Value, costs, mean, number

READINGS: tuple[tuple[Way, Rule], ...] = (PRIMARY, ("probabilities", "coarse"), ("votes", "own"))
MARGIN = -0.03  # the lower end of each interval is wanted above it
Scores = TypeAdapter(list[list[float]])  # [head][hospital]
Figures = Sequence[Resampled]  # of all films, then of each hospital's


@dataclass(frozen=True)
class Rival:
    """A model that the images are held against, and the tone of its films."""

    name: str
    tone: str
    figures: Figures

    @property
    def title(self) -> str:
        return f"{self.name}, tone {self.tone}"


@dataclass(frozen=True)
class Claim:
    """The primary images on harmonised films against real patches on these, and on plain films."""

    harmonised: Reader
    plain: Reader

    @property
    def images(self) -> Contender | None:
        """The primary ones; None before they are complete."""
        return next((own for own in self.harmonised.ours if own.primary), None)

    @cached_property
    def rivals(self) -> list[Rival]:
        """Real patches by size, each on films of either tone; last the images of plain films."""
        wanted = [
            (reader, own)
            for reader in (self.harmonised, self.plain)
            for own in reader.theirs
            if own.primary or own.name.endswith(KIND_NAMES["convnet"])
        ]
        names = list(dict.fromkeys(own.name for _, own in wanted))
        wanted.sort(key=lambda pair: names.index(pair[1].name))
        wanted += [(self.plain, own) for own in self.plain.ours if own.primary]
        return [
            Rival(own.name, reader.plan.protocol.tone, self.figures(reader, own))
            for reader, own in wanted
        ]

    @property
    def lacking(self) -> list[str]:
        """What the archive of ``studies.quality`` lacks, in words."""
        if not self.plain.missing:
            return []
        gaps = ", ".join(f"{what} ({done} of {total})" for what, done, total in self.plain.missing)
        return [f"Of plain films the archive of studies quality lacks: {gaps}."]

    def figures(self, reader: Reader, contender: Contender) -> Figures:
        """By the primary reading, with the harmonised reader's resamples."""
        models = reader.verdicts(contender, *PRIMARY)[:PAIRED_MODELS]
        ours = [next(iter(films.values()))["test"] for films in self.harmonised.films]
        theirs = [next(iter(films.values()))["test"] for films in reader.films]
        drawn = self.harmonised.drawn
        for own, other in zip(ours, theirs, strict=True):
            pairs = (own.site, other.site), (own.patient, other.patient)
            if not all(np.array_equal(first, second) for first, second in pairs):
                raise RunError("the harmonised and the plain results are of different films")
        sites = range(len(reader.hospitals))
        drawn_at = [
            [times[:, films.site == site] for times, films in zip(drawn, ours, strict=True)]
            for site in sites
        ]
        parts = [resampled(at_site(models, site), drawn_at[site]) for site in sites]
        return [resampled(models, drawn), *parts]

    def tables(self) -> list[Table]:
        """The claim on all films, and hospital by hospital; none without the images."""
        if self.images is None:
            return []
        ours = self.figures(self.harmonised, self.images)
        title = f"{self.images.name}, tone {self.harmonised.plan.protocol.tone}"
        hospitals = [hospital.name for hospital in self.harmonised.hospitals]
        tables = []
        for name, place in (("HM", 0), ("AUC", 1)):
            rows: list[Row] = [(title, *(number(_pair(own)[place]) for own in ours))]
            for rival in self.rivals:
                entries = [
                    _beside(_pair(theirs)[place], difference(own, theirs)[place])
                    for own, theirs in zip(ours, rival.figures, strict=True)
                ]
                rows.append((rival.title, *entries))
            head = f"Claim: {name}, and the images' minus it, by votes at one ε"
            tables.append(Table(head, ("model", "all", *hospitals), rows))
        return [self._wanted(ours), *tables]

    def _wanted(self, ours: Figures) -> Table:
        """Against the better of both tones, figure by figure."""
        rows: list[Row] = []
        readers = self.harmonised, self.plain
        sizes = {own.name: None for reader in readers for own in reader.theirs if own.primary}
        for name in sizes:
            both = [rival for rival in self.rivals if rival.name == name]
            for figure, place in (("HM", 0), ("AUC", 1)):
                best = max(both, key=lambda rival: _pair(rival.figures[0])[place])
                ahead = difference(ours[0], best.figures[0])[place]
                answers = (ahead.value >= 0, ahead.low > MARGIN)
                level, reached = ("reached" if answer else "not reached" for answer in answers)
                better = best.tone if len(both) > 1 else f"{best.tone} (no other)"
                rows.append((f"{figure}, {name}", better, ahead.shown(), level, reached))
        return Table(
            f"Wanted of the images on all films, against the better tone of each: 0 or more, and "
            f"the interval's lower end above {MARGIN}",
            ("against", "better tone", "images minus it", "0 or more", f"above {MARGIN}"),
            rows,
        )


def report_of(
    plan: Plan,
    hospitals: Sequence[Hospital],
    results: Mapping[str, Result],
    plain: Mapping[str, Result],
    cells: Sequence[Cell],
) -> Report:
    """All tables of what is complete; ``plain``: the results of ``studies.quality``."""
    harmonised = Reader(plan.shared, hospitals, results)
    claim = Claim(harmonised, Reader(plan.plain, hospitals, plain))
    tones, tables = tone_tables(plan, hospitals, results), list[Table]()
    if harmonised.ours or harmonised.theirs or not tones:
        tables += claim.tables()
        tables += [table for reading in READINGS for table in harmonised.reading(*reading)]
        tables += [harmonised.patches(), harmonised.choices()]
    tables += [*tones, costs("CPU-seconds, all folds together", cells, results, each=True)]
    notes = Path(__file__).with_name("notes.txt").read_text(encoding="utf-8").strip()
    words = [notes.format(tone=TONE, margin=MARGIN, paired=PAIRED_MODELS)]
    words += [*harmonised.lacking, *claim.lacking]
    figures = {
        "primary": {"way": PRIMARY[0], "rule": PRIMARY[1], "k": plan.shared.primary},
        "missing": harmonised.missing,
        "tables": [table.as_data() for table in tables],
    }
    return Report("\n\n".join([*words, *map(str, tables)]), figures)


def tone_tables(
    plan: Plan, hospitals: Sequence[Hospital], results: Mapping[str, Result]
) -> list[Table]:
    """Patch scores and film AUC of linear heads by tone, as far as a tone has all folds."""
    names = {tone: [tone_cell(fold, tone) for fold in range(plan.shared.folds)] for tone in TONES}
    complete = {
        tone: [results[name] for name in own]
        for tone, own in names.items()
        if all(name in results for name in own)
    }
    if not complete:
        return []
    diagnoses, sites = [diagnoses_of(hospital) for hospital in hospitals], range(len(hospitals))
    patches, films = list[Row](), list[Row]()
    for place, trained in enumerate(HEADS):
        for tone, folds in complete.items():
            scores = [Scores.validate_python(own.facts["patch_scores"])[place] for own in folds]
            patches.append(_by_hospital(f"{tone}, {trained}", np.mean(scores, axis=0).tolist()))
            seen = [films_of(own, diagnoses)["val"] for own in folds]
            judged = [judge(own, own, (place,), "votes", "source") for own in seen]
            aucs = [merit([fold.at(site) for fold in judged]).auc for site in sites]
            films.append(_by_hospital(f"{tone}, {trained}", aucs))
    head = ("tone, whose patches train", "mean", *(hospital.name for hospital in hospitals))
    about = "of linear heads on real patches, validation patients, mean over folds"
    return [
        Table(f"Tones: patch score {about}", head, patches),
        Table(f"Tones: film AUC {about}", head, films),
    ]


def at_site(models: Models, site: int) -> list[list[Verdicts]]:
    """Of one hospital's films alone."""
    return [[fold.at(site) for fold in folds] for folds in models]


def _pair(own: Resampled) -> tuple[float, float]:
    return own.harmonic_mean, own.auc


def _beside(theirs: float, ahead: Difference) -> Value:
    shown, value = ahead.shown(mark="*"), number(theirs)
    return Value(f"{value.text} {shown.text}", [value.data, shown.data])


def _by_hospital(name: str, values: Sequence[float]) -> Row:
    return name, number(mean(values)), *(number(value) for value in values)
