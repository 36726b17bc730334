"""Copies are found through shifts, contrast and inversion; with equal numbers on both sides."""

import numpy as np
import pytest

from gdshare.audit.match import (
    Distances,
    equal_windows,
    feature_distances,
    first_seen,
    nearness,
    pixel_distances,
    rank_test,
)
from gdshare.audit.patients import Patients
from gdshare.cohort import Patches

SIDE = 32
DRAW = np.random.default_rng


def deal(seed, patients, windows=12):
    """Smooth random windows, dealt out to patients in turn."""
    draw = DRAW(seed)
    coarse = draw.uniform(0.2, 0.8, (patients * windows, 8, 8))
    pixels = coarse.repeat(4, axis=1).repeat(4, axis=2)
    pixels = (pixels + draw.normal(0, 0.02, pixels.shape)).clip(0, 1)
    owners = np.arange(len(pixels)) % patients
    patches = Patches(
        (pixels * 65535).astype(np.uint16), np.zeros(len(pixels), np.uint8), owners.astype("u4")
    )
    rows = tuple(np.flatnonzero(owners == patient) for patient in range(patients))
    return Patients(patches, rows, np.zeros(patients, bool))


def distances(images, *parts):
    return [pixel_distances(images.astype(np.float32), part, lambda place: None) for part in parts]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 0.2 * x + 0.7,
        lambda x: 1 - x,
        lambda x: np.roll(x, (2, -2), (0, 1)),
        lambda x: np.roll(0.5 * x, (-1, 2), (0, 1)),
    ],
)
def test_copy_is_found_whatever_its_contrast_and_within_two_pixels(change):
    members, others = deal(1, 30), deal(2, 12)
    images = DRAW(0).uniform(size=(3, SIDE, SIDE))
    images[1] = change(members.patches.scaled(np.array([77]))[0])
    own, their = distances(images, members, others)
    assert own.values[:, 1].argmin() == 77 % 30
    found = nearness(own, their, DRAW(0))
    assert found.high < 0.1 < found.unrelated


def test_noise_is_no_nearer_to_members_however_many_there_are():
    members, others = deal(1, 60), deal(2, 12)
    found = nearness(*distances(DRAW(0).uniform(size=(3, SIDE, SIDE)), members, others), DRAW(0))
    assert found.patients == 6
    assert found.low <= found.unrelated <= found.high
    assert found.ranks.p > 0.05


def test_many_copies_show_in_the_ranks():
    members, others = deal(1, 30), deal(2, 12)
    images = members.patches.scaled(np.arange(20))
    own, their = distances(images, members, others)
    ranks = rank_test(own, their)
    assert ranks.nearer > 0.8
    assert ranks.p < 0.001


def test_every_patient_has_as_many_windows():
    members, others = deal(1, 6, windows=20), deal(2, 5, windows=7)
    for part in equal_windows(members, others, DRAW(0)):
        assert {len(rows) for rows in part.rows} == {7}


def test_flat_windows_match_nothing():
    members = deal(1, 4)
    flat = Patients(
        Patches(np.full_like(members.patches.pixels, 9), members.patches.labels, np.zeros(0, "u4")),
        members.rows,
        members.positive,
    )
    [found] = distances(DRAW(0).uniform(size=(2, SIDE, SIDE)), flat)
    assert (found.values == 1.0).all()


def test_features_of_a_copy_match_and_opposite_ones_do_not():
    features = DRAW(1).normal(size=(12, 40))
    owners = np.repeat(np.arange(4), 3)
    found = feature_distances(np.stack([3 * features[7], -features[7]]), features, owners, 3)
    assert isinstance(found, Distances)
    assert found.values[2, 0] == pytest.approx(0.0, abs=1e-9)
    assert found.values[2, 1] > 0.5
    assert feature_distances(features[8:9], features, owners, 2).values[2, 0] > 0.3


def test_windows_of_a_patient_need_not_lie_together():
    """Somebody who has two films may stand in the table twice, with others between."""
    features = np.random.default_rng(3).normal(size=(12, 20))
    owners = np.array([4, 2, 2, 4, 9, 4, 2, 9, 9, 4, 2, 9])
    found = feature_distances(features[[5]], features, owners, 3)
    assert first_seen(owners) == [4, 2, 9]
    assert found.values.shape == (3, 1)
    assert found.values[0, 0] == pytest.approx(0.0), "window 5 is patient 4's third"
    together = np.argsort(owners, kind="stable")
    alike = feature_distances(features[[5]], features[together], owners[together], 3)
    assert first_seen(owners[together]) == [2, 4, 9]
    assert (alike.values[[1, 0, 2]] == found.values).all()
