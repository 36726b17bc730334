import dataclasses
import json
import logging
import multiprocessing
from datetime import UTC, datetime
from logging.handlers import BufferingHandler

import pytest
from film_kit import PROTOCOL, write_films

from aggregator.flower.order import Order
from aggregator.results import POOLED, RoundResult, rows, to_json, write_result
from aggregator.trial.compare import ROW_POOLED, ROW_REAL, RoundOutcome, compare
from aggregator.trial.plan import Hospital, Trial, show_nothing
from aggregator.trial.run import accept_all, report
from aggregator.trial.side_by_side import release_all
from aggregator.trial.table import as_data, markdown
from aggregator.trust.bundle_history import accepted_digests
from gdshare.bundle import verify_folder
from gdshare.errors import CohortError, FederationError
from gdshare.evaluation import cohort_votes, confusions
from gdshare.ledger import read_ledger
from gdshare.messages import Counts
from gdshare.method import Settings
from gdshare.metrics import SOURCE_TABLE, Confusion
from gdshare.model import save_model
from gdshare.pooling import train_pooled
from gdshare.report.page import render
from gdshare.report.trial_page import trial_page
from gdshare.signing import load_public_key
from gdshare.storage import write_json
from gdshare.training import TrainingPlan

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
THIRDS = (1 / 3, 1 / 3, 1 / 3)
SETTINGS = Settings(
    network="convnet", epochs=2, steps=2, outer_steps=10, score_every=5, score_inits=2, batch=12
)


@pytest.fixture(scope="module")
def trial_run(tmp_path_factory):
    """Two tiny hospitals, and what each released."""
    folder = tmp_path_factory.mktemp("trial")
    trial = Trial(
        hospitals=[Hospital(name, write_films(folder / name)) for name in ("near", "far")],
        protocol=PROTOCOL,
        settings=SETTINGS,
        baseline=TrainingPlan(network="scattering", per_class=20, epochs=1, rates=(1e-3,)),
        split=THIRDS,
        film_inits=2,
        patch_inits=2,
    )
    logger, handler = logging.getLogger("aggregator"), BufferingHandler(1000)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    sites = release_all(trial, folder / "out", NOW, show_nothing, workers=2)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    messages = [record.getMessage() for record in handler.buffer]
    return folder / "out", trial, sites, messages


def test_each_hospital_releases_a_bundle_its_public_key_vouches_for(trial_run):
    out, _, sites, messages = trial_run
    assert [site.name for site in sites] == ["near", "far"]
    for site in sites:
        bundle = verify_folder(
            site.bundle, load_public_key(out / "trust" / f"{site.name}.pub"), NOW
        )
        assert bundle.manifest.site == site.name
        assert site.seconds > 0
    for name in ("near", "far"):
        assert [line for line in messages if line.startswith(f"{name}: patch score")], "one log"


def test_no_bundle_of_a_trial_is_left_out_for_its_figures(trial_run, tmp_path):
    _, _, sites, _ = trial_run
    for _ in range(2):
        accept_all(sites, tmp_path / "ledger.jsonl", NOW)
    entries = read_ledger(tmp_path / "ledger.jsonl")
    assert accepted_digests(entries) == {site.digest for site in sites}
    assert len(entries) == len(sites)


def test_no_private_key_and_no_two_hospitals_with_the_same_draws_are_left(trial_run):
    out, _, sites, _ = trial_run
    assert not list(out.rglob("*.key"))
    runs = [
        json.loads((out / "sites" / site.name / "run" / "run.json").read_text(encoding="utf-8"))
        for site in sites
    ]
    assert [run["settings"]["seed"] for run in runs] == [0, 1]


def test_an_interrupted_trial_keeps_what_was_done(trial_run):
    out, trial, sites, _ = trial_run
    before = {path: path.read_bytes() for path in (out / "sites").rglob("*") if path.is_file()}
    again = release_all(trial, out, NOW, show_nothing, workers=1)
    assert [site.bundle for site in again] == [site.bundle for site in sites]
    kept = {
        path: text for path, text in before.items() if path.name not in ("timings.jsonl", ".lock")
    }
    assert kept == {path: path.read_bytes() for path in kept}


def round_of(sites):
    """What a round over the same bundles would give."""
    model = train_pooled([site.contribution for site in sites], PROTOCOL, "in-step", 0)
    counts = {
        site.name: confusions(cohort_votes(model, site.cohort, "test"), [0.5])[0] for site in sites
    }
    return RoundOutcome(model, 0.5, counts)


def test_node_counts_that_differ_from_their_films_are_refused(trial_run):
    out, trial, sites, _ = trial_run
    outcome = round_of(sites)
    wrong_counts = outcome.test | {"far": outcome.test["far"] + Confusion(1, -1, 0, 0)}
    with pytest.raises(FederationError, match="far: its node counted"):
        compare(sites, RoundOutcome(outcome.model, 0.5, wrong_counts), out, trial, show_nothing)


def test_a_hospital_that_fails_ends_the_trial_and_leaves_no_process(trial_run, tmp_path):
    _, trial, _, _ = trial_run
    missing = Hospital("gone", tmp_path / "none.csv")
    broken = dataclasses.replace(trial, hospitals=[missing, *trial.hospitals])
    before = set(multiprocessing.active_children())
    with pytest.raises(CohortError, match="no such table"):
        release_all(broken, tmp_path / "out", NOW, show_nothing, workers=1)
    assert set(multiprocessing.active_children()) == before


def test_table_has_every_model_on_every_site_and_the_sources_beside_it(trial_run):
    out, trial, sites, _ = trial_run
    outcome = round_of(sites)
    comparison = compare(sites, outcome, out, trial, show_nothing)
    assert [line.name for line in comparison.lines] == [
        "near alone",
        "far alone",
        ROW_POOLED,
        ROW_REAL,
    ]
    for line in comparison.lines:
        assert set(line.figures) == {"near", "far", POOLED}
        assert line.figures[POOLED].confusion.films == 8
    assert len(comparison.pooled_inits) == 2
    text = markdown(comparison)
    assert text.count("| near alone |") == 3
    assert all(f"{hm:.3f}" in text for *_, hm in SOURCE_TABLE)
    assert json.loads(json.dumps(as_data(comparison)))["lines"][2]["threshold"] == 0.5
    votes = sorted((out / "votes").rglob("*.json"))
    assert all("patient-" not in path.read_text(encoding="utf-8") for path in votes)
    stamps = {path: path.stat().st_mtime_ns for path in votes}
    assert markdown(compare(sites, outcome, out, trial, show_nothing)) == text
    assert stamps == {path: path.stat().st_mtime_ns for path in votes}, "votes are taken once"


def test_page_shows_all_that_left_and_the_films_a_trial_may_see(trial_run):
    out, trial, sites, _ = trial_run
    outcome = round_of(sites)
    comparison = compare(sites, outcome, out, trial, show_nothing)
    save_model(out / "round" / "model", outcome.model, {"threshold": 0.5})
    test = {name: Counts([counts], 1) for name, counts in outcome.test.items()}
    held = RoundResult(
        network="convnet",
        networks=5,
        epsilon=0.5,
        epsilon_chosen=True,
        validation={
            site.name: confusions(cohort_votes(outcome.model, site.cohort, "val")) for site in sites
        },
        test=outcome.test,
        suppress_below={site.name: 1 for site in sites},
        noise={site.name: 0.0 for site in sites},
        bundles={site.name: site.digest for site in sites},
        refusals=[],
        screenings={},
        weights={site.name: 0.5 for site in sites},
        missing=[],
        names={},
        silent=[],
        rows=rows(test, 0),
        seconds={"train": 1.0},
        bytes_moved={"bundles": 1, "model": 2},
        order=Order(trust=out / "trust", ledger=out / "ledger.jsonl", operator="trial"),
    )
    write_result(out / "round", held, [])
    write_json(out / "trial.json", report(trial, sites, to_json(held), comparison, {}))
    html = render(trial_page(out, "A trial", ("A note.",))).decode()
    figures = comparison.lines[2].figures[POOLED]
    assert f"pooled, reach HM {figures.confusion.harmonic_mean:.2f} [" in html
    assert html.count('alt="near, distilled image') == SETTINGS.images
    assert 2 <= html.count('alt="Film with votes.') <= 6
    assert html.count('<th scope="row">near alone, 3 images</th>') == 1
    assert html.count('<th scope="row">far: near alone, 3 images</th>') == 1
