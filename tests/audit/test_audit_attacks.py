"""The attacks find a leak where there is one, and nothing where there is none."""

import numpy as np
import pytest
import torch
from film_kit import small_cohort
from run_kit import SETTINGS, TINY, settings

from gdshare.audit import attack as attack_module
from gdshare.audit.attack import attack_run, seed_of
from gdshare.audit.membership import Losses, membership
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.patients import Patients, patients_of, sample_patches
from gdshare.cohort import Patches
from gdshare.distill.problem import prepare, run_record
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, UsageError
from gdshare.networks import build
from gdshare.theta0 import announced_theta0

PATIENTS = 30


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"), PATIENTS, protocol=TINY)


@pytest.fixture(scope="module")
def record(cohort):
    return run_record(prepare(cohort, SETTINGS, "cpu"), cohort)


def images_of(pixels):
    count = len(pixels)
    return Distilled(
        pixels.astype(np.float32)[:, None],
        np.eye(3, dtype=np.float32)[np.arange(count) % 3],
        np.full(SETTINGS.epochs * SETTINGS.steps, 0.05, np.float32),
    )


def noise(seed=0):
    return images_of(np.random.default_rng(seed).normal(size=(3, 8, 8)))


def deal(pixels, patients):
    """Patches, uint16 [n, side, side], dealt out to patients in turn."""
    owners = np.arange(len(pixels)) % patients
    patches = Patches(pixels, np.zeros(len(pixels), np.uint8), owners.astype(np.uint32))
    rows = tuple(np.flatnonzero(owners == patient) for patient in range(patients))
    return Patients(patches, rows, np.zeros(patients, bool))


def random_pixels(seed, count=60):
    return np.random.default_rng(seed).integers(0, 65536, (count, 8, 8)).astype(np.uint16)


def correlations(images, patients):
    return patient_correlations(images, patients, lambda done: None).patients


@pytest.mark.parametrize("change", [lambda x: x, lambda x: -x, lambda x: 3 * x + 7])
def test_an_image_that_is_a_patients_patch_is_found(change):
    members, others = deal(random_pixels(1), 6), deal(random_pixels(2), 6)
    copied = noise().images
    copied[1, 0] = change(members.patches.pixels[17] / 65535)
    scores = [correlations(copied, patients) for patients in (members, others)]
    attack = nearest(*scores, np.random.default_rng(0))
    assert scores[0].argmax() == 17 % 6
    assert attack.figure == attack.high == 1.0
    assert attack.unrelated < 0.7


def test_noise_is_as_near_to_members_as_to_others():
    members, others = deal(random_pixels(1), 6), deal(random_pixels(2), 6)
    scores = [correlations(noise().images, patients) for patients in (members, others)]
    attack = nearest(*scores, np.random.default_rng(0))
    assert abs(attack.figure - attack.unrelated) < 0.15


def test_flat_patches_correlate_with_nothing():
    flat = deal(np.full((12, 8, 8), 30000, np.uint16), 6)
    assert correlations(noise().images, flat).tolist() == [0.0] * 6


def losses_of(values, positive=None):
    values = np.asarray(values, np.float64)
    return Losses(values, np.zeros(len(values), bool) if positive is None else positive)


def test_lower_losses_of_members_are_found():
    low, high = losses_of(np.linspace(0.1, 0.4, 8)), losses_of(np.linspace(0.5, 0.9, 8))
    attack = membership(low, high, np.random.default_rng(0))
    assert (attack.figure, attack.low, attack.high) == (1.0, 1.0, 1.0)
    assert membership(high, low, np.random.default_rng(0)).figure == 0.0


def test_losses_that_do_not_depend_on_membership_give_chance():
    draw = np.random.default_rng(3)
    attack = membership(losses_of(draw.normal(size=80)), losses_of(draw.normal(size=80)), draw)
    assert attack.low < 0.5 < attack.high
    assert attack.unrelated == 0.5
    tied = membership(losses_of(np.ones(6)), losses_of(np.ones(6)), draw)
    assert (tied.figure, tied.low, tied.high) == (0.5, 0.5, 0.5)


def test_a_harder_diagnosis_is_not_taken_for_membership():
    """Films with the finding are harder, and the training set has more of them."""
    draw = np.random.default_rng(5)
    mostly, rarely = np.arange(200) < 160, np.arange(200) < 40
    attack = membership(
        losses_of(draw.normal(size=200) + 5 * mostly, mostly),
        losses_of(draw.normal(size=200) + 5 * rarely, rarely),
        draw,
    )
    assert attack.low < 0.5 < attack.high


def test_interval_covers_chance_as_often_as_it_claims():
    """Of attacks on unrelated losses, about 5% miss 0.5: of 40, hardly more than 6."""
    draw = np.random.default_rng(4)
    attacks = [
        membership(losses_of(draw.normal(size=40)), losses_of(draw.normal(size=40)), draw)
        for _ in range(40)
    ]
    missed = sum(not attack.low <= 0.5 <= attack.high for attack in attacks)
    assert missed <= 6


def test_attacks_on_equal_images_are_equal(cohort, record):
    first, again, other = (attack_run(record, noise(seed), cohort).attacks for seed in (0, 0, 1))
    assert first == again
    assert [attack.name for attack in first] == ["membership-loss/1", "nearest-patch/1"]
    assert first != other


def test_copy_of_a_training_patch_is_found_in_a_run(cohort, record):
    train = cohort.patches("train")
    copied = images_of(train.scaled(np.arange(3)))
    audit = attack_run(record, copied, cohort)
    assert audit.attacks[1].figure == 1.0
    np.testing.assert_allclose(audit.nearest.correlations, 1.0, atol=1e-6)
    np.testing.assert_array_equal(audit.nearest.patches, train.scaled(np.arange(3)))


def test_membership_is_judged_by_the_head_that_a_receiver_trains(cohort, monkeypatch):
    settled = settings(train="head", theta0="announced")
    record = run_record(prepare(cohort, settled, "cpu"), cohort)
    judged = []

    def patient_losses(model, *rest):
        judged.append(model)
        return membership_losses(model, *rest)

    membership_losses = attack_module.patient_losses
    monkeypatch.setattr(attack_module, "patient_losses", patient_losses)
    audit = attack_run(record, noise(), cohort)
    theta0 = announced_theta0(record.method, build("convnet", TINY.side))
    for model in judged:
        [network] = model.ensemble
        changed = {name for name in network if not torch.equal(network[name], theta0[name])}
        assert {network[name].ndim for name in changed} == {1, 2}, "the last layer"
        assert len(changed) == 2
    assert [result.name for result in audit.attacks] == ["membership-loss/1", "nearest-patch/1"]


def test_progress_ends_at_its_total(cohort, record):
    calls = []
    attack_run(record, noise(), cohort, progress=lambda *call: calls.append(call))
    assert calls
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]


def test_run_of_another_cohort_is_refused(record, tmp_path):
    other = small_cohort(tmp_path, PATIENTS + 3, protocol=TINY)
    with pytest.raises(UsageError, match="distilled from another cohort; pass that one"):
        attack_run(record, noise(), other)


def test_too_few_patients_of_each_diagnosis_are_refused(tmp_path):
    few = small_cohort(tmp_path, 24, protocol=TINY)
    of_few = run_record(prepare(few, SETTINGS, "cpu"), few)
    with pytest.raises(CohortError, match="5 training and 5 test patients of the same diagnosis"):
        attack_run(of_few, noise(), few)


def test_diagnosis_with_too_few_patients_is_left_out():
    draw = np.random.default_rng(6)
    members, others = np.arange(40) < 20, np.arange(21) < 1
    attack = membership(
        losses_of(np.where(members, 0.0, draw.normal(size=40)), members),
        losses_of(np.where(others, 9.0, draw.normal(size=21)), others),
        draw,
    )
    assert 0.2 < attack.figure < 0.8  # that test patient alone would have given 1


def test_random_choices_follow_from_the_images():
    assert len({seed_of(noise(seed)) for seed in range(5)}) == 5
    assert seed_of(noise()) == seed_of(noise())


def test_patches_are_grouped_by_patient(cohort):
    for split in ("train", "test"):
        patients = patients_of(cohort, split)
        assert sum(map(len, patients.rows)) == len(patients.patches)
        for rows in patients.rows:
            films = {int(film) for film in patients.patches.films[rows]}
            assert len({cohort.films[film].patient for film in films}) == 1
            assert {cohort.films[film].split for film in films} == {split}
        fewer = sample_patches(patients, 0, "test")
        assert all(set(a) <= set(b) for a, b in zip(fewer.rows, patients.rows, strict=True))
