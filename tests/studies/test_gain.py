"""What a hospital gains from others' images: who trains on what, and the tables."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from film_kit import small_cohort

from gdshare.errors import CohortError
from gdshare.training import TrainingPlan
from studies.gain.plan import FAST, FULL, gain_cells
from studies.gain.report import NOTHING, at_epsilon, figures_at, over_seeds, report_of
from studies.gain.trainings import (
    ALONE,
    EVERYONE,
    MIX,
    OTHERS,
    START,
    Training,
    few_patients,
    train_ways,
)
from studies.hospitals import Phantoms, hospitals_of
from studies.networks import WEIGHTS
from studies.quality.figures import Verdicts
from studies.quality.networks import IMAGES
from studies.runner import Needed, Piece, PieceOverError, Store, run

SVG = "{http://www.w3.org/2000/svg}"
TINY = replace(
    FAST,
    quality=replace(
        FAST.quality,
        protocol=FAST.quality.protocol.model_copy(update={"patch": 24, "stride": 12}),
        arms=FAST.quality.arms[:1],
        film_stride=24,
        phantoms=Phantoms(hospitals=2, per_diagnosis=4, size=128),
    ),
    training=TrainingPlan(per_class=4),
    patients=(2,),
    seeds=1,
)


class World:
    """A whole tiny study."""

    def __init__(self, out):
        self.store = Store("gain", out)
        self.hospitals = hospitals_of(TINY.quality.phantoms, out, self.store)
        self.cells = gain_cells(TINY, self.hospitals)
        run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("gain"))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("films"), patients=24)


def test_few_patients_are_balanced_and_more_of_them_include_the_fewer(cohort):
    diagnosis = {film.patient: film.positive for film in cohort.films_of("train")}
    chosen = [few_patients(cohort, count, seed=1).patients for count in (1, 2, 5, 8)]
    assert [len(patients) for patients in chosen] == [1, 2, 5, 8]
    assert [sum(diagnosis[name] for name in patients) for patients in chosen] == [0, 1, 2, 4]
    assert all(fewer < more for fewer, more in pairwise(chosen))
    assert chosen[1] != few_patients(cohort, 2, seed=3).patients


def test_few_patients_train_and_all_validate(cohort):
    few = few_patients(cohort, 2, seed=1)
    patients = {few.films[film].patient for film in np.unique(few.patches("train").films)}
    assert patients == few.patients
    assert len(few.patches("val")) == len(cohort.patches("val"))


def test_more_patients_than_there_are_is_refused(cohort):
    with pytest.raises(CohortError, match="5 are needed"):
        few_patients(cohort, 10, seed=0)


def test_hospital_left_out_trains_on_its_own_films_and_the_others_images(tmp_path):
    store = Store("gain", tmp_path)
    cells = gain_cells(FAST, hospitals_of(FAST.quality.phantoms, tmp_path, store))
    trainings = [cell for cell in cells if isinstance(cell.parameters, Training)]
    assert len(trainings) == 3 * len(FAST.patients) * FAST.seeds
    for cell in trainings:
        (own,) = [role for role in cell.needs if not role.startswith(IMAGES)]
        site = own.removeprefix("cohort-")
        images = {role for role in cell.needs if role.startswith(IMAGES)}
        assert len(images) == 2
        assert IMAGES + site not in images
    for cell in cells:
        if cell.name.endswith("epsilon"):  # of a hospital without own films
            site = cell.parameters.site
            assert {role.rpartition("-")[2] for role in cell.needs} == {"0", "1", "2"} - {site[-1]}
    names = [cell.name for cell in cells]
    for place, cell in enumerate(cells):
        assert {need.name for need in cell.needs.values()} <= set(names[:place])


def test_more_own_patients_bring_more_patches_up_to_a_bound():
    counts = [FULL.training_of(patients, 0).per_class for patients in FULL.patients]
    assert counts == [100, 200, 400, 600]


def test_tables_and_picture_have_every_contender_and_come_from_the_results_alone(world):
    report = report_of(TINY, world.hospitals, world.results, world.cells)
    words = {own.text for own in ElementTree.fromstring(report.picture).iter(f"{SVG}text")}
    assert {ALONE, START, MIX, OTHERS, "own training patients"} <= words
    first = report.figures["tables"][0]
    assert first["title"] == "AUC, mean of the hospitals"
    assert report.answer.startswith(f"With {min(TINY.patients)} training patients of its own")
    rows = {name: entries for name, *entries in first["rows"]}
    assert list(rows) == [ALONE, START, MIX, OTHERS, NOTHING, EVERYONE]
    assert [entry is None for entry in rows[ALONE]] == [True, False, True]
    assert [entry is None for entry in rows[START]] == [False, False, True]
    assert [entry is None for entry in rows[EVERYONE]] == [True, True, False]
    assert rows[OTHERS] == rows[NOTHING]  # AUC does not depend on ε
    titles = [table["title"] for table in report.figures["tables"]]
    assert {f"HM, {hospital.name}" for hospital in world.hospitals} <= set(titles)
    assert "Difference of AUC, mean of the hospitals" in report.text


def test_mean_of_hospitals_counts_each_the_same(world):
    sites = [figures_at(TINY, hospital, world.results) for hospital in world.hospitals]
    table = report_of(TINY, world.hospitals, world.results, world.cells).figures["tables"][0]
    (row,) = [entries for name, *entries in table["rows"] if name == ALONE]
    expected = np.mean([site[f"{ALONE}/2"].auc for site in sites])
    assert row[1][0] == pytest.approx(expected)


def test_training_that_stopped_between_two_ways_goes_on_to_the_same_networks(world, tmp_path):
    (cell, *_) = [cell for cell in world.cells if isinstance(cell.parameters, Training)]
    needs = {
        role: Needed(world.store.folder(need), world.store.read(need))
        for role, need in cell.needs.items()
    }
    piece = Piece(tmp_path, cell.seed, needs, deadline=0.0)
    for _ in range(3):
        with pytest.raises(PieceOverError):
            train_ways(piece, cell.parameters)
    again = train_ways(replace(piece, deadline=float("inf")), cell.parameters)
    assert again.facts == world.store.read(cell).facts
    for way in ("alone", "start", "mix"):
        parts = (folder / way / WEIGHTS for folder in (tmp_path, world.store.folder(cell)))
        first, second = (path.read_bytes() for path in parts)
        assert first == second


def verdicts(ratio):
    site, positive = np.zeros(4, np.int64), np.array([False, False, True, True])
    none = np.zeros(4, np.bool_)
    return Verdicts(site, positive, np.array(ratio), none, np.full(4, 0.5))


def test_interval_covers_seeds_as_well_as_patients():
    right, wrong = verdicts([0.1, 0.2, 0.8, 0.9]), verdicts([0.8, 0.9, 0.1, 0.2])
    still = np.ones((400, 4))  # every resample has each film once
    both = over_seeds([[right], [wrong]], [still])
    assert both.auc == 0.5
    assert set(both.aucs.tolist()) == {0.0, 0.5, 1.0}
    assert set(over_seeds([[right]], [still]).aucs.tolist()) == {1.0}


def test_another_epsilon_changes_calls_and_not_ratios():
    before = verdicts([0.1, 0.2, 0.8, 0.9])
    after = at_epsilon(before, 0.85)
    assert after.called.tolist() == [False, False, False, True]
    assert after.ratio is before.ratio
