import dataclasses
import json
import multiprocessing
from datetime import UTC, datetime

import pytest
from film_kit import PROTOCOL, write_films

from aggregator.results import POOLED
from aggregator.trial.compare import ROW_POOLED, ROW_REAL, RoundOutcome, compare
from aggregator.trial.plan import Hospital, Stage, Trial
from aggregator.trial.run import accept_all
from aggregator.trial.side_by_side import release_all
from aggregator.trial.table import as_data, markdown
from aggregator.trust.bundle_history import accepted
from gdshare.bundle import verify_folder
from gdshare.errors import CohortError, FederationError
from gdshare.evaluation import cohort_votes, confusions
from gdshare.ledger import read_ledger
from gdshare.method import Settings
from gdshare.metrics import SOURCE_TABLE, Confusion
from gdshare.pooling import train_pooled
from gdshare.signing import load_public_key
from gdshare.training import TrainingPlan

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
THIRDS = (1 / 3, 1 / 3, 1 / 3)
SETTINGS = Settings(
    network="convnet", epochs=2, steps=2, outer_steps=10, score_every=5, score_inits=2, batch=12
)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Two tiny hospitals, and what each released."""
    folder = tmp_path_factory.mktemp("trial")
    trial = Trial(
        hospitals=[Hospital(name, write_films(folder / name)) for name in ("near", "far")],
        protocol=PROTOCOL,
        settings=SETTINGS,
        baseline=TrainingPlan(network="convnet", per_class=20, epochs=1, rates=(1e-3,)),
        split=THIRDS,
        film_inits=2,
        patch_inits=2,
    )
    said: list[str] = []
    stage = Stage(said.append)
    released = release_all(trial, folder / "out", NOW, stage, workers=2)
    return folder / "out", trial, released, said


def test_each_hospital_releases_a_bundle_its_public_key_vouches_for(held):
    out, _, released, said = held
    assert [one.name for one in released] == ["near", "far"]
    for one in released:
        bundle = verify_folder(one.bundle, load_public_key(out / "trust" / f"{one.name}.pub"), NOW)
        assert bundle.manifest.site == one.name
        assert one.seconds > 0
    assert any(line.startswith("near: patch score") for line in said)


def test_no_bundle_of_a_trial_is_left_out_for_its_figures(held, tmp_path):
    _, _, released, _ = held
    for _ in range(2):
        accept_all(released, tmp_path / "ledger.jsonl", NOW)
    entries = read_ledger(tmp_path / "ledger.jsonl")
    assert accepted(entries) == {one.digest for one in released}
    assert len(entries) == len(released)


def test_no_private_key_and_no_two_hospitals_with_the_same_draws_are_left(held):
    out, _, released, _ = held
    assert not list(out.rglob("*.key"))
    runs = [
        json.loads((out / "sites" / one.name / "run" / "run.json").read_text(encoding="utf-8"))
        for one in released
    ]
    assert [run["settings"]["seed"] for run in runs] == [0, 1]


def test_an_interrupted_trial_keeps_what_was_done(held):
    out, trial, released, _ = held
    before = {path: path.read_bytes() for path in (out / "sites").rglob("*") if path.is_file()}
    again = release_all(trial, out, NOW, Stage(), workers=1)
    assert [one.bundle for one in again] == [one.bundle for one in released]
    kept = {path: text for path, text in before.items() if path.name != "timings.jsonl"}
    assert kept == {path: path.read_bytes() for path in kept}


def round_of(released):
    """What a round over the same bundles would give."""
    model = train_pooled([one.contribution for one in released], PROTOCOL, "in-step", 0)
    counts = {
        one.name: confusions(cohort_votes(model, one.cohort, "test"), [0.5])[0] for one in released
    }
    return RoundOutcome(model, 0.5, counts)


def test_nodes_that_counted_otherwise_than_their_films_say_are_not_believed(held):
    out, trial, released, _ = held
    told = round_of(released)
    false = told.test | {"far": told.test["far"] + Confusion(1, -1, 0, 0)}
    with pytest.raises(FederationError, match="far: its node counted"):
        compare(released, RoundOutcome(told.model, 0.5, false), out, trial, Stage())


def test_a_hospital_that_fails_ends_the_trial_and_leaves_no_process(held, tmp_path):
    _, trial, _, _ = held
    missing = Hospital("gone", tmp_path / "none.csv")
    broken = dataclasses.replace(trial, hospitals=[missing, *trial.hospitals])
    before = set(multiprocessing.active_children())
    with pytest.raises(CohortError, match="no such table"):
        release_all(broken, tmp_path / "out", NOW, Stage(), workers=1)
    assert set(multiprocessing.active_children()) == before


def test_table_has_every_model_on_every_site_and_the_sources_beside_it(held):
    out, trial, released, _ = held
    held = round_of(released)
    found = compare(released, held, out, trial, Stage())
    assert [line.name for line in found.lines] == ["near alone", "far alone", ROW_POOLED, ROW_REAL]
    for line in found.lines:
        assert set(line.figures) == {"near", "far", POOLED}
        assert line.figures[POOLED].confusion.films == 8
    assert len(found.pooled_inits) == 2
    text = markdown(found)
    assert text.count("| near alone |") == 3
    assert all(f"{hm:.3f}" in text for *_, hm in SOURCE_TABLE)
    assert json.loads(json.dumps(as_data(found)))["lines"][2]["threshold"] == 0.5
    votes = sorted((out / "votes").rglob("*.json"))
    assert all("patient-" not in path.read_text(encoding="utf-8") for path in votes)
    stamps = {path: path.stat().st_mtime_ns for path in votes}
    assert markdown(compare(released, held, out, trial, Stage())) == text
    assert stamps == {path: path.stat().st_mtime_ns for path in votes}, "votes are taken once"
