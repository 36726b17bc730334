"""The attacks find what is there to be found, and nothing where there is nothing."""

import numpy as np
import pytest
from film_kit import small_cohort
from run_kit import SETTINGS, TINY

from gdshare.audit import AUDIT, read_attacks, write_attacks
from gdshare.audit.attack import _seed_of, attack_run
from gdshare.audit.membership import Losses, membership
from gdshare.audit.nearest import closest, nearest
from gdshare.audit.patients import Patients, patients_of, some_of
from gdshare.bundle.attacks import Attack
from gdshare.cohort import Patches
from gdshare.distill.problem import prepare
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, RunError, UsageError

PATIENTS = 30


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"), PATIENTS, protocol=TINY)


@pytest.fixture(scope="module")
def record(cohort):
    return prepare(cohort, SETTINGS, "cpu").record()


def images_of(pixels):
    count = len(pixels)
    return Distilled(
        pixels.astype(np.float32)[:, None],
        np.eye(3, dtype=np.float32)[np.arange(count) % 3],
        np.full(SETTINGS.epochs * SETTINGS.steps, 0.05, np.float32),
    )


def noise(seed=0):
    return images_of(np.random.default_rng(seed).normal(size=(3, 8, 8)))


def some(pixels, patients):
    """Patches, uint16 [n, side, side], dealt out to patients in turn."""
    owners = np.arange(len(pixels)) % patients
    patches = Patches(pixels, np.zeros(len(pixels), np.uint8), owners.astype(np.uint32))
    rows = tuple(np.flatnonzero(owners == one) for one in range(patients))
    return Patients(patches, rows, np.zeros(patients, bool))


def drawn(seed, count=60):
    return np.random.default_rng(seed).integers(0, 65536, (count, 8, 8)).astype(np.uint16)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: -x, lambda x: 3 * x + 7])
def test_an_image_that_is_a_patients_patch_is_found(change):
    members, others = some(drawn(1), 6), some(drawn(2), 6)
    copied = noise().images
    copied[1, 0] = change(members.patches.pixels[17] / 65535)
    scores = [closest(copied, patients, lambda _: None) for patients in (members, others)]
    found = nearest(*scores, np.random.default_rng(0))
    assert scores[0].argmax() == 17 % 6
    assert found.figure == found.high == 1.0
    assert found.unrelated < 0.7


def test_images_that_know_nobody_are_as_near_to_others():
    members, others = some(drawn(1), 6), some(drawn(2), 6)
    scores = [closest(noise().images, patients, lambda _: None) for patients in (members, others)]
    found = nearest(*scores, np.random.default_rng(0))
    assert abs(found.figure - found.unrelated) < 0.15


def test_flat_patches_are_near_to_nothing():
    flat = some(np.full((12, 8, 8), 30000, np.uint16), 6)
    assert closest(noise().images, flat, lambda _: None).tolist() == [0.0] * 6


def known(values, positive=None):
    values = np.asarray(values, np.float64)
    return Losses(values, np.zeros(len(values), bool) if positive is None else positive)


def test_losses_that_tell_members_apart_are_found():
    low, high = known(np.linspace(0.1, 0.4, 8)), known(np.linspace(0.5, 0.9, 8))
    told = membership(low, high, np.random.default_rng(0))
    assert (told.figure, told.low, told.high) == (1.0, 1.0, 1.0)
    assert membership(high, low, np.random.default_rng(0)).figure == 0.0


def test_losses_that_tell_nothing_come_out_as_guessing():
    draw = np.random.default_rng(3)
    told = membership(known(draw.normal(size=80)), known(draw.normal(size=80)), draw)
    assert told.low < 0.5 < told.high
    assert told.unrelated == 0.5
    tied = membership(known(np.ones(6)), known(np.ones(6)), draw)
    assert (tied.figure, tied.low, tied.high) == (0.5, 0.5, 0.5)


def test_diagnosis_alone_passes_for_no_membership():
    """Films with the finding are harder, and there are more of them in training."""
    draw = np.random.default_rng(5)
    mostly, rarely = np.arange(200) < 160, np.arange(200) < 40
    told = membership(
        known(draw.normal(size=200) + 5 * mostly, mostly),
        known(draw.normal(size=200) + 5 * rarely, rarely),
        draw,
    )
    assert told.low < 0.5 < told.high


def test_interval_is_one_over_patients():
    """Of attacks on losses that tell nothing, about 5% miss one half: of 40, hardly more than 6."""
    draw = np.random.default_rng(4)
    told = [
        membership(known(draw.normal(size=40)), known(draw.normal(size=40)), draw)
        for _ in range(40)
    ]
    missed = sum(not one.low <= 0.5 <= one.high for one in told)
    assert missed <= 6


def test_run_is_attacked_the_same_way_twice(cohort, record):
    first = attack_run(record, noise(), cohort)
    assert first == attack_run(record, noise(), cohort)
    assert [one.name for one in first] == ["membership-loss/1", "nearest-patch/1"]
    assert first != attack_run(record, noise(1), cohort)


def test_copy_of_a_training_patch_is_found_by_the_whole_attack(cohort, record):
    train = cohort.patches("train")
    copied = images_of(train.scaled(np.arange(3)))
    assert attack_run(record, copied, cohort)[1].figure == 1.0


def test_progress_ends_at_its_total(cohort, record):
    told = []
    attack_run(record, noise(), cohort, progress=lambda done, all_: told.append((done, all_)))
    assert told[-1][0] == told[-1][1] == len(told)
    assert [done for done, _ in told] == list(range(1, len(told) + 1))


def test_run_of_another_cohort_is_refused(record, tmp_path):
    other = small_cohort(tmp_path, PATIENTS + 3, protocol=TINY)
    with pytest.raises(UsageError, match="not distilled from this cohort"):
        attack_run(record, noise(), other)


def test_too_few_patients_of_each_diagnosis_are_refused(tmp_path):
    few = small_cohort(tmp_path, 24, protocol=TINY)
    told = prepare(few, SETTINGS, "cpu").record()
    with pytest.raises(CohortError, match="5 training and 5 test patients of one diagnosis"):
        attack_run(told, noise(), few)


def test_diagnosis_with_too_few_patients_is_left_out():
    draw = np.random.default_rng(6)
    members, others = np.arange(40) < 20, np.arange(21) < 1
    told = membership(
        known(np.where(members, 0.0, draw.normal(size=40)), members),
        known(np.where(others, 9.0, draw.normal(size=21)), others),
        draw,
    )
    assert 0.2 < told.figure < 0.8  # the one test patient would have been won by all members


def test_draws_are_decided_by_the_images():
    assert len({_seed_of(noise(seed)) for seed in range(5)}) == 5
    assert _seed_of(noise()) == _seed_of(noise())


def test_every_patch_of_a_patient_is_theirs(cohort):
    for split in ("train", "test"):
        patients = patients_of(cohort, split)
        assert sum(map(len, patients.rows)) == len(patients.patches)
        for rows in patients.rows:
            films = {int(film) for film in patients.patches.films[rows]}
            assert len({cohort.films[film].patient for film in films}) == 1
            assert {cohort.films[film].split for film in films} == {split}
        fewer = some_of(patients, 0, "test")
        assert all(set(a) <= set(b) for a, b in zip(fewer.rows, patients.rows, strict=True))


def test_record_is_of_one_result_only(tmp_path):
    attacks = (Attack(name="membership-loss/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5),)
    assert read_attacks(tmp_path, noise()) == ()
    write_attacks(tmp_path, noise(), attacks)
    assert read_attacks(tmp_path, noise()) == attacks
    with pytest.raises(RunError, match="another result"):
        read_attacks(tmp_path, noise(1))


def test_record_of_an_attack_that_nobody_makes_is_refused(tmp_path):
    attack = Attack(name="doe-john/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5)
    write_attacks(tmp_path, noise(), (attack,))
    with pytest.raises(RunError, match="an attack that is none"):
        read_attacks(tmp_path, noise())


def test_link_in_place_of_the_record_is_not_followed(tmp_path):
    (tmp_path / AUDIT).symlink_to("/dev/zero")
    with pytest.raises(RunError, match="gdshare audit"):
        read_attacks(tmp_path, noise())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b" " * 70_000])
def test_damaged_record_is_refused(tmp_path, content):
    (tmp_path / AUDIT).write_bytes(content)
    with pytest.raises(RunError, match="gdshare audit"):
        read_attacks(tmp_path, noise())
