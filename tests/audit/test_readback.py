"""Scores find what is there and nothing else; figures say how sure they are."""

import numpy as np
import pytest
import torch

from gdshare.audit.canaries import EACH, KINDS, canaries
from gdshare.audit.figures import Readback, Result
from gdshare.audit.readback import Scored, compared, listen, look, recognition
from gdshare.protocol import PatchClass

LISTED = canaries()
OF = tuple(canary.kind for canary in LISTED)
BOTH = tuple(canary.positive for canary in LISTED)


def noise(count, side=32, seed=0):
    return np.random.default_rng(seed).normal(0.5, 0.15, (count, side, side)).astype(np.float32)


@pytest.mark.parametrize("number", range(EACH * 2))
def test_canary_that_is_in_an_image_looks_more_like_it_than_all_others(number):
    planted = LISTED[number].planted(noise(3)[:1])
    images = np.concatenate([noise(2, seed=1), 0.2 - 0.6 * planted])  # any contrast, any sign
    scores = look(images, LISTED)
    kind = slice(number // EACH * EACH, number // EACH * EACH + EACH)
    assert scores[kind].argmax() == number % EACH
    assert scores[number] > 0.95
    assert np.delete(scores[kind], number % EACH).max() < 0.9


def test_glyph_is_found_beside_the_middle_and_under_noise():
    glyph = LISTED[2].planted(noise(1))
    moved = np.roll(glyph, (3, -2), axis=(1, 2)) + noise(1, seed=5)
    assert look(moved.astype(np.float32), LISTED)[:EACH].argmax() == 2


def test_gray_looks_like_nothing():
    assert (look(np.full((3, 16, 16), 0.3, np.float32), LISTED) == 0.0).all()


def test_networks_that_know_a_canary_give_it_away():
    """Logits of two windows, plain and with each canary; canary 5 belongs to positives."""
    logits = torch.zeros(1 + len(LISTED), 2, 3)
    logits[6, :, 2] = 1.6
    scores = listen([logits.reshape(-1, 3)], LISTED)
    assert LISTED[5].positive
    assert scores[5] == pytest.approx(1.4)
    assert np.abs(np.delete(scores, 5)).max() == pytest.approx(0.2)


def test_whatever_turns_all_canaries_alike_says_nothing():
    logits = torch.zeros(1 + len(LISTED), 2, 3)
    logits[1:, :, 2] = 7.0
    logits[0, :, 1] = 3.0
    assert np.allclose(listen([logits.reshape(-1, 3)], LISTED), 0.0)


def test_network_that_left_the_range_of_numbers_says_nothing():
    logits = torch.full((2 * (1 + len(LISTED)), 3), torch.nan)
    assert (listen([logits], LISTED) == 0.0).all()


def test_scores_are_deviations_and_a_constant_null_is_no_certainty():
    nulls = np.random.default_rng(0).normal(3.0, 2.0, (8, len(LISTED)))
    nulls[:, 0] = 3.0  # by chance, or since nothing moves it
    scores = compared(np.full((1, len(LISTED)), 7.0), nulls, OF)
    assert scores.min() > 0.5
    assert scores.max() < 10.0
    assert np.isfinite(compared(nulls, np.zeros_like(nulls), OF)).all()


def scored(generator, sets, shift):
    """Noise; what one patient carries is shifted."""
    carried = np.zeros((sets, len(LISTED)), int)
    for row in carried:
        for place in range(len(KINDS)):
            row[place * EACH + generator.permutation(EACH)[:3]] = 1
    return Scored(generator.normal(size=carried.shape) + shift * carried, carried, OF, BOTH)


def test_interval_holds_chance_where_nothing_is_known_and_not_where_something_is():
    generator = np.random.default_rng(0)
    held = []
    for _ in range(60):
        blind = scored(generator, 3, 0.0)
        found = recognition(blind, blind.carried == 1, generator)
        held.append(found.low <= 0.5 <= found.high)
    assert 0.85 <= np.mean(held) < 1.0
    plain = scored(generator, 3, 3.0)
    found = recognition(plain, plain.carried == 1, generator)
    assert found.low > 0.8
    assert (found.planted, found.absent, found.patients) == (18, 30, 1)


def test_kinds_are_never_compared_with_each_other_nor_sets():
    generator = np.random.default_rng(0)
    plain = scored(generator, 4, 4.0)
    moved = plain.scores + 100.0 * (np.array(OF) == "outlier") + 1000.0 * np.arange(4)[:, None]
    other = Scored(moved, plain.carried, OF, BOTH)
    own, their = (
        recognition(part, part.carried == 1, np.random.default_rng(1)) for part in (plain, other)
    )
    assert own == their
    glyphs = recognition(plain, plain.carried == 1, generator, ("glyph",))
    assert (glyphs.kinds, glyphs.planted) == (("glyph",), 12)


def test_nothing_to_compare_gives_no_figure():
    plain = scored(np.random.default_rng(0), 2, 0.0)
    assert recognition(plain, plain.carried == 10, np.random.default_rng(0)) is None


def test_record_of_an_audit_without_canaries_is_still_read():
    attack = {"name": "nearest-ratio/1", "figure": 0.1, "low": 0.1, "high": 0.2, "unrelated": 0.1}
    control = {"what": "a leak", "figure": 0.9, "low": 0.8, "high": 1.0, "unrelated": 0.5}
    assert Result.model_validate({"attack": attack, "control": control}).readback is None
    assert "several" in Readback.model_fields


def test_canary_of_ten_patients_does_not_lift_those_of_single_ones():
    """The ten's is strong, and single patients' leave nothing: chance, whoever is planted."""
    generator, areas = np.random.default_rng(4), []
    for draw in range(60):
        carried = np.zeros(len(LISTED), int)
        for place in range(len(KINDS)):
            own = place * EACH + 2 * generator.permutation(EACH // 2)
            ten, other = draw % 2, 1 - draw % 2
            carried[own[:2] + ten] = (1, 10)
            carried[own[:2] + other] = 1
        turned = generator.normal(size=len(LISTED))
        turned[carried == 10] += 20.0 * np.where(np.array(BOTH)[carried == 10], 1.0, -1.0)
        logits = np.zeros((1 + len(LISTED), 3), np.float32)
        logits[1:, PatchClass.P] = turned
        scores = listen([torch.from_numpy(logits)], LISTED)[None]
        own = Scored(scores, carried[None], OF, BOTH)
        areas.append(recognition(own, own.carried == 1, generator).auc)
    assert abs(np.mean(areas) - 0.5) < 0.07
