"""Canaries in distillations like the run: three attacks, their controls, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from audit_kit import record_of
from run_kit import TINY, BrokenOffError
from texture_kit import textured_cohort

from gdshare.audit import reconstruction, shadows
from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import Effort, attack_all
from gdshare.audit.canaries import EACH, KINDS, LIST, SINGLES, draw_few, draw_planting
from gdshare.audit.canary_sets import make_sets
from gdshare.audit.recipes import FromPatches
from gdshare.audit.reconstruction import (
    IMAGES,
    NAMES,
    NETWORKS,
    TOO_FEW,
    TRAJECTORY,
    reconstruct,
)
from gdshare.audit.shadows import FOLDER, open_workshop
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import read_record, read_result
from gdshare.method import Settings

SETTINGS = Settings(outer_steps=8, batch=240, seed=3, feature_patches=120, score_patches=40)
SETS = (1, 1)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    cohort = textured_cohort(folder)
    distill(cohort, folder / "run", SETTINGS)
    return folder, cohort


def workshop_of(site, folder=None):
    base, cohort = site
    record, distilled = read_record(base / "run"), read_result(base / "run")
    seed = seed_of(distilled)
    if folder is not None:
        (folder / FOLDER).mkdir(exist_ok=True)
    return open_workshop(
        record, distilled, cohort, seed, folder, "cpu", None, lambda done, total: None
    )


def nulls_of(workshop, count=3):
    return [workshop.shadow(number, lambda: None) for number in range(count)]


@pytest.fixture(scope="module")
def results(site):
    base, _ = site
    workshop = workshop_of(site)
    record, distilled = read_record(base / "run"), read_result(base / "run")
    steps = []
    found, untried = reconstruct(
        workshop, record, distilled, nulls_of(workshop), SETS, None, lambda: steps.append(1)
    )
    assert not untried
    assert len(steps) == sum(SETS) * SETTINGS.outer_steps
    return {result.attack.name: result for result in found}


def test_all_three_are_made_and_say_on_what(results):
    assert set(results) == set(NAMES)
    for result in results.values():
        read = result.readback
        assert (read.canaries, read.sets, read.nulls) == (LIST, 1, 3)
        assert [part.kinds for part in read.single] == [KINDS, *((kind,) for kind in KINDS)]
        assert [part.patients for part in read.several] == [3, 3, 3]  # 24 training patients
        assert read.single[0].planted == SINGLES * len(KINDS)
        assert read.single[0].absent == (EACH - SINGLES - 1) * len(KINDS)
        assert result.attack.figure == pytest.approx(read.single[0].auc, abs=6e-4)
        assert result.attack.unrelated == result.control.unrelated == 0.5


def test_windows_with_canaries_in_place_of_images_are_seen(results):
    assert results[IMAGES].control.fired
    assert results[IMAGES].control.figure == 1.0


def test_second_controls_keep_what_the_first_showed(results):
    result = results[NETWORKS]
    assert ("labelled" in result.control.what) == (result.readback.few is not None)
    assert results[IMAGES].readback.few is None


def test_inversion_of_single_updates_is_no_control_of_the_trajectory(results):
    result = results[TRAJECTORY]
    assert "5 patients" in result.control.what
    assert result.readback.method.auc > 0.5
    assert all(results[name].readback.method is None for name in (IMAGES, NETWORKS))


def test_features_are_computed_anew_of_planted_windows_alone(site, monkeypatch):
    workshop = workshop_of(site)
    people, whole = workshop.candidates, workshop.problem
    planting = draw_planting(people, 5, 0)
    recipe = workshop.recipe.changed(planting.plant)
    problem, plain = (own.of(planting.included, 9) for own in (recipe, workshop.recipe))
    carried = np.isin(problem.train.films, list(planting.by_patient))
    same = (problem.features.train == plain.features.train).all(dim=1).numpy()
    assert np.array_equal(~same, carried)
    rows = np.flatnonzero(carried)[:3]
    x, _ = whole.patches(problem.train, rows)
    expected = whole.features.body.features_of(x)
    assert torch.allclose(problem.features.train[rows], expected, atol=1e-5)
    assert whole.features.train.shape[0] == len(people.training)


def test_interrupted_set_goes_on_to_the_same_bytes(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shadows, "CHECKPOINT_EVERY", 1)
    workshop = workshop_of(site, tmp_path)
    nulls = nulls_of(workshop)
    left = [5]

    def stop():
        left[0] -= 1
        if not left[0]:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        make_sets(workshop, nulls, SETS, stop)
    assert (tmp_path / FOLDER / "canaries-000" / "checkpoint.safetensors").exists()
    make_sets(workshop, nulls, SETS, lambda: None)
    names = ["canaries-000.safetensors", "carriers-0.safetensors"]
    made = [(tmp_path / FOLDER / name).read_bytes() for name in names]
    assert not (tmp_path / FOLDER / "canaries-000").exists()
    other = tmp_path / "other"
    other.mkdir()
    whole = workshop_of(site, other)
    make_sets(whole, nulls, SETS, lambda: None)
    assert made == [(other / FOLDER / name).read_bytes() for name in names]


def test_sets_that_are_kept_compute_no_features(site, tmp_path, monkeypatch):
    workshop, steps = workshop_of(site, tmp_path), []
    nulls = nulls_of(workshop)
    first = make_sets(workshop, nulls, SETS, lambda: None)

    def never(self, change):
        raise AssertionError("features of changed windows")

    monkeypatch.setattr(FromPatches, "changed", never)
    again = make_sets(workshop, nulls, SETS, lambda: steps.append(1))
    assert len(steps) == sum(SETS) * workshop.steps
    for before, after in zip(
        (*first.planted, *first.few), (*again.planted, *again.few), strict=True
    ):
        assert before.distilled.to_bytes() == after.distilled.to_bytes()


def test_set_is_made_again_where_others_carry(site, tmp_path):
    workshop = workshop_of(site, tmp_path)
    make_sets(workshop, nulls_of(workshop), SETS, lambda: None)
    path = tmp_path / FOLDER / "carriers-0.safetensors"
    before = path.read_bytes()
    moved = replace(workshop, seed=workshop.seed + 1)
    assert draw_few(moved.candidates, moved.seed, 0).by_patient != (
        draw_few(workshop.candidates, workshop.seed, 0).by_patient
    )
    make_sets(moved, nulls_of(workshop), SETS, lambda: None)
    assert path.read_bytes() != before


def test_cohort_with_too_few_patients_of_a_diagnosis_is_told(site):
    base, _ = site
    workshop = workshop_of(site)
    people = workshop.candidates
    few = people.member & (~people.positive | (np.cumsum(people.positive) <= 5))
    small = replace(workshop, candidates=replace(people, member=few))
    record, distilled = read_record(base / "run"), read_result(base / "run")
    found, untried = reconstruct(
        small, record, distilled, nulls_of(workshop), SETS, None, lambda: None
    )
    assert not found
    assert [(own.name, own.why) for own in untried] == [(name, TOO_FEW) for name in NAMES]


def test_attack_that_is_blind_enters_no_bundle(site, monkeypatch):
    """An ear for nothing: neither control is noticed."""
    base, _ = site
    monkeypatch.setattr(reconstruction, "listen", lambda verdicts, listed: np.zeros(len(listed)))
    workshop = workshop_of(site)
    record, distilled = read_record(base / "run"), read_result(base / "run")
    found, _ = reconstruct(
        workshop, record, distilled, nulls_of(workshop), SETS, None, lambda: None
    )
    audit = record_of(distilled, []).model_copy(update={"results": tuple(found)})
    assert NETWORKS in audit.blind
    assert NETWORKS not in {attack.name for attack in audit.attacks}
    assert IMAGES in {attack.name for attack in audit.attacks}


WHOLE = Settings(
    network="convnet", outer_steps=2, batch=12, epochs=1, steps=2, seed=3, score_inits=1,
    score_every=2, score_patches=20, feature_patches=60,
)  # fmt: skip


def test_networks_that_are_trained_whole_are_attacked_by_the_same_code(tmp_path):
    cohort = textured_cohort(tmp_path, protocol=TINY)
    distill(cohort, tmp_path / "run", WHOLE)
    record, distilled = read_record(tmp_path / "run"), read_result(tmp_path / "run")
    audited = attack_all(record, distilled, cohort, mode="full", effort=Effort(4, 1, (1, 2)))
    assert set(NAMES) <= {result.attack.name for result in audited.record.results}
    quick = attack_all(record, distilled, cohort, effort=Effort(4, 1, (1, 2)))
    assert set(NAMES) <= {own.name for own in quick.record.untried}
