"""The page of a trial, such as the demo's: what pooling reaches, beside what it is compared with.

A trial sees every hospital's films, which an aggregator never does, so its page shows some.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdshare.bundle import Manifest, read_folder, verify_files
from gdshare.bundle.layout import MANIFEST
from gdshare.cohort import open_cohort
from gdshare.errors import RunError
from gdshare.films import read_film
from gdshare.metrics import auc
from gdshare.model import load_model
from gdshare.plain_files import MAX_TABLE, read_plain
from gdshare.report.curves import (
    Bar,
    Ranking,
    figures_picture,
    ranks,
    roc_picture,
    training_picture,
    with_interval,
)
from gdshare.report.film_pictures import (
    COLOURS,
    JudgedFilm,
    extremes,
    film_picture,
    judged_picture,
)
from gdshare.report.page import Page, Picture, Section, Table
from gdshare.report.round_page import (
    LEFT,
    RoundFile,
    admission_section,
    curves_section,
    provenance_section,
    read_round,
)
from gdshare.report.run_page import read_training
from gdshare.report.sections import (
    FIGURES,
    Shared,
    attacks_section,
    cost_section,
    existing,
    figures_row,
    images_section,
    number,
    reached,
)
from gdshare.report.trial_file import ALL, POOLED, REAL, Figures, Line, TrialFile, read_trial
from gdshare.report.vote_files import VoteRecord, read_record
from gdshare.signing import load_public_key
from gdshare.vote import Votes, predictor

SHOWN = 3
"""Films of each kind."""


@dataclass(frozen=True)
class NewFilms:
    """Films that no hospital of the trial has, and the folder with their maps.

    Attributes:
        heading: whose they are.
        films: file and whether it is positive.
        maps: what ``gdshare classify --map`` made of them.
    """

    heading: str
    films: Sequence[tuple[Path, bool]]
    maps: Path


def trial_page(folder: Path, title: str, notes: Sequence[str], new: NewFilms | None = None) -> Page:
    """The page of a finished trial.

    Args:
        folder: the trial's.
        title: of the page.
        notes: what the reader must know about these films.
        new: films to show before the hospitals' own.

    Raises:
        RunError, FederationError, BundleError, FilmError: a part of it is gone or damaged.
    """
    trial, outcome = read_trial(folder), read_round(folder / "round")
    shared = [_shared(folder, name, trial, outcome) for name in trial.hospitals]
    films = _films(folder, trial)
    return Page(
        title,
        verdict(trial),
        _lead(trial),
        tuple(notes),
        (
            _who(trial, outcome),
            *([_new_films(new)] if new else []),
            images_section(shared, LEFT),
            _figures(trial),
            Section(
                "Ranking and threshold",
                pictures=(
                    *_roc(films, trial.line(POOLED).threshold),
                    *curves_section(outcome).pictures,
                ),
            ),
            _extremes(folder, films, trial.line(POOLED).threshold),
            _training(folder, trial),
            admission_section(outcome),
            attacks_section(shared),
            cost_section(trial.round_seconds, _sizes(trial)),
            _provenance(trial, outcome, folder),
        ),
    )


def verdict(trial: TrialFile) -> str:
    """The trial in a sentence, whichever way it came out."""
    pooled, real = trial.line(POOLED), trial.line(REAL)
    best = max(trial.alone, key=lambda own: own.all_sites.harmonic_mean)
    figures, sites = pooled.all_sites, len(trial.hospitals)
    images = pooled.images // sites
    return (
        f"{number(images, 'image')} from each of {number(sites, 'hospital')}, pooled, reach "
        f"{_hm(pooled)} on {number(figures.counts.films, 'test film')}; the best hospital's images "
        f"alone {_hm(best)}, {real.images:,} real patches pooled {_hm(real)}."
    )


def _hm(line: Line) -> str:
    return reached(existing(line.all_sites.counts)[2], line.all_sites.intervals.harmonic_mean)


def _lead(trial: TrialFile) -> Picture:
    bars = [
        Bar(
            _label(own),
            existing(own.all_sites.counts)[2],
            own.all_sites.intervals.harmonic_mean,
            own.trained_from == POOLED,
        )
        for own in trial.lines
    ]
    return figures_picture(bars, "HM of Sen and Spe on all hospitals' test films", None, "lead")


def _label(line: Line) -> str:
    what = "real patches" if line.trained_from == REAL else "images"
    name = "all hospitals" if line.trained_from in (POOLED, REAL) else line.trained_from
    return f"{name}, {line.images:,} {what}"


def _who(trial: TrialFile, outcome: RoundFile) -> Section:
    rows = tuple(
        (
            name,
            str(own.training_patients),
            own.bundle,
            outcome.bundles.get(name, "")[:16],
            f"{own.bundle_bytes:,}",
            f"{own.distil_seconds:.0f} s",
            f"{own.validation_patch_score:.3f}",
        )
        for name, own in trial.hospitals.items()
    )
    columns = (
        "hospital",
        "training patients",
        "bundle",
        "its digest, first 16",
        "bytes that left",
        "distilled in",
        "patch score, validation",
    )
    return Section(
        "Who and what",
        (
            "Each hospital distilled its training patients' patches on its own, signed the images "
            "and released them. The aggregator verified the bundles, trained one model from them, "
            "and asked every hospital to count its hits and misses. A trial plays all sides on one "
            "machine: nobody had to approve, and every bundle was accepted whatever its figures.",
        ),
        tables=(Table("Hospitals", columns, rows),),
    )


def _figures(trial: TrialFile) -> Section:
    columns = ("", "AUC", *FIGURES[1:], "patch score", "ε")
    together = tuple(
        (*_row(_label(own), own.all_sites), f"{own.patch_score.mean:.3f}", f"{own.threshold:.2f}")
        for own in trial.lines
    )
    apart = tuple(
        _row(f"{site}: {_label(own)}", own.figures[site])
        for site in trial.hospitals
        for own in trial.lines
    )
    return Section(
        "Test films",
        (
            "Each model's ε (last column) was set before a test film was used: by each hospital's "
            "own validation films for its images alone, by all for the others. Intervals are 95%, "
            "over patients. Guessing a patch scores 0.333.",
        ),
        tables=(
            Table("All hospitals' test films, at each model's ε", columns, together),
            Table("The same by hospital", columns[:-2], apart),
        ),
    )


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    ranking = (
        "-"
        if figures.auc is None or figures.auc_interval is None
        else with_interval(figures.auc, figures.auc_interval)
    )
    first, *others = figures_row(name, figures.counts, figures.intervals)
    return (first, ranking, *others)


def _shared(folder: Path, name: str, trial: TrialFile, outcome: RoundFile) -> Shared:
    """A hospital's bundle."""
    key = load_public_key(folder / "trust" / f"{name}.pub")
    path = folder / "sites" / name / "outbox" / trial.hospitals[name].bundle
    files = read_folder(path)
    # By the day of the trial: its page can still be made when its bundles have expired.
    bundle = verify_files(files, key, Manifest.from_bytes(files[MANIFEST]).created)
    if bundle.digest != outcome.bundles.get(name):
        raise RunError("is not the bundle of the trial's round", path, "run the trial again")
    return Shared(name, bundle.distilled, bundle.manifest.attacks, bundle.manifest.privacy)


def _films(folder: Path, trial: TrialFile) -> Mapping[str, list[JudgedFilm]]:
    """Site -> its test films with the pooled model's votes."""
    votes = folder / "votes" / f"{POOLED}-{trial.settings['seed']}"
    films: dict[str, list[JudgedFilm]] = {}
    for name in trial.hospitals:
        cohort = open_cohort(folder / "sites" / name / "cohort")
        lines = json.loads(read_plain(votes / f"{name}-test.json", MAX_TABLE))
        films[name] = [
            JudgedFilm(
                f"{name}, test film {place}",
                film.image,
                film.spacing_mm,
                film.positive,
                Votes(*line["votes"]),
            )
            for place, (film, line) in enumerate(
                zip(cohort.films_of("test"), lines, strict=True), start=1
            )
        ]
    return films


def _roc(films: Mapping[str, Sequence[JudgedFilm]], threshold: float) -> tuple[Picture, ...]:
    rankings = [_ranking(name, own) for name, own in films.items()]
    together = [film for own in films.values() for film in own]
    picture = roc_picture([*rankings, _ranking(ALL, together)], threshold, "test films")
    return (picture,) if picture is not None else ()


def _ranking(name: str, films: Sequence[JudgedFilm]) -> Ranking:
    ratios = np.array([film.votes.ratio for film in films])
    positive = np.array([film.positive for film in films], np.bool_)
    return Ranking(name, ranks([film.votes for film in films]), positive, auc(ratios, positive))


def _extremes(folder: Path, films: Mapping[str, Sequence[JudgedFilm]], threshold: float) -> Section:
    model, _ = load_model(folder / "round" / "model")
    predict = predictor(model)
    together = [film for own in films.values() for film in own]
    right, wrong = extremes(together, threshold, SHOWN)
    pictures = tuple(
        judged_picture(film, model.protocol, predict, threshold) for film in (*right, *wrong)
    )
    none = () if wrong else ("No test film is called wrongly.",)
    return Section(
        "The clearest hits and the worst misses",
        ("Test films of the pooled model, by how far their ratio is from ε.", COLOURS, *none),
        pictures,
    )


def new_records(new: NewFilms) -> list[VoteRecord]:
    """Their votes.

    Raises:
        RunError: a film was not classified.
    """
    records = []
    for path, _ in new.films:
        record = read_record(new.maps, path.name)
        if record is None:
            raise RunError("has no votes", path, "run it again")
        records.append(record)
    return records


def _new_films(new: NewFilms) -> Section:
    pictures = []
    for place, ((path, positive), record) in enumerate(
        zip(new.films, new_records(new), strict=True), start=1
    ):
        film = JudgedFilm(f"film {place}", path, None, positive, record.seen.votes)
        pictures.append(film_picture(film, read_film(path), record.seen, record.threshold))
    return Section(new.heading, (COLOURS,), tuple(pictures))


def _training(folder: Path, trial: TrialFile) -> Section:
    runs = [read_training(folder / "sites" / name / "run", name) for name in trial.hospitals]
    return Section("How the images were trained", pictures=(training_picture(runs),))


def _sizes(trial: TrialFile) -> dict[str, int]:
    own = {f"{name}'s bundle": facts.bundle_bytes for name, facts in trial.hospitals.items()}
    return own | {"all bundles": trial.bytes_moved["bundles"], "model": trial.bytes_moved["model"]}


def _provenance(trial: TrialFile, outcome: RoundFile, folder: Path) -> Section:
    section = provenance_section(outcome, f"{folder}/round")
    settings = tuple(
        (name, str(value)) for name, value in sorted(trial.settings.items()) if name != "seed"
    )
    protocol = tuple((name, str(value)) for name, value in sorted(trial.protocol.items()))
    columns = ("option", "value")
    tables = (
        Table("The protocol", columns, protocol),
        Table("The distillation, of each hospital", columns, settings),
        *section.tables,
    )
    return Section(section.title, section.paragraphs, tables=tables, commands=section.commands)
