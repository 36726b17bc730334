"""Which of the compared bundles is set aside."""

import time

import numpy as np
import pytest
import torch

from aggregator.admission.agreement import LIMITS as MEASURED
from aggregator.admission.agreement import Compared, Limits, agreements, compare
from gdshare.pooling import Alone

LIMITS = Limits(0.2, -0.05, 3.0)


def compared(*signs: float, length: tuple[float, ...] = ()) -> Compared:
    """Bundles that agree overall, and on the diagnosis by their signs."""
    direction = np.full((len(signs), len(signs)), 0.6)
    diagnosis = 0.3 * np.outer(signs, signs)
    return Compared(direction, diagnosis, np.array(length or [1.0] * len(signs)))


def blamed(figures: Compared, limits: Limits | None = LIMITS) -> list[int]:
    return [
        n
        for n, agreement in enumerate(agreements(figures, limits))
        if agreement and agreement.faults
    ]


def test_odd_one_of_three_is_blamed_and_not_those_it_speaks_against() -> None:
    assert blamed(compared(1, 1, -1)) == [2]
    assert blamed(compared(-1, 1, 1)) == [0]


def test_two_of_five_are_found_one_after_the_other() -> None:
    assert blamed(compared(1, -1, 1, -1, 1)) == [1, 3]


def test_never_half_of_the_bundles_are_blamed() -> None:
    assert len(blamed(compared(1, -1, 1, -1))) == 1


def test_most_are_believed_even_when_they_lie() -> None:
    """A limit of every comparison."""
    assert blamed(compared(1, -1, -1)) == [0]


def test_loud_update_is_measured_by_the_median() -> None:
    assert blamed(compared(1, 1, 1, length=(1.0, 1.2, 40.0))) == [2]
    assert blamed(compared(1, 1, 1, length=(1.0, 1.2, 0.01))) == [2]


def test_network_without_limits_has_no_faults() -> None:
    results = agreements(compared(1, 1, -1), None)
    assert [agreement.faults for agreement in results if agreement] == [(), (), ()]


def test_single_bundle_has_no_peers() -> None:
    assert agreements(compared(1), LIMITS) == [None]


def test_flipped_diagnoses_turn_that_part_of_the_update_alone() -> None:
    start = {"body": torch.zeros(2, 2, 1, 1), "head": torch.zeros(3, 4)}

    def ended(n: list[float], p: list[float]) -> list[Alone]:
        head = torch.tensor([[-1.0, 0, 0, 0], n, p])
        return [Alone(start, {"body": torch.ones(2, 2, 1, 1), "head": head})]

    plain = ended([1, 0.5, 0, 0], [1, 0, 0.5, 0])
    turned = ended([1, 0, 0.5, 0], [1, 0.5, 0, 0])
    result = compare([plain, plain, turned])
    assert result.diagnosis[0, 1] == pytest.approx(1)
    assert result.diagnosis[0, 2] == pytest.approx(-1)
    assert result.direction[0, 2] > 0.9


def test_zero_update_agrees_with_nobody() -> None:
    start = {"head": torch.zeros(3, 4)}
    still, moved = [Alone(start, start)], [Alone(start, {"head": torch.eye(4)[:3]})]
    assert compare([still, moved]).direction[0, 1] == 0
    assert blamed(compare([still, moved, moved])) == [0]


def test_scattering_is_judged_by_diagnosis_and_length_and_never_by_direction() -> None:
    start = {"1.weight": torch.zeros(3, 4), "1.bias": torch.zeros(3)}

    def update(*rows: list[float]) -> list[Alone]:
        return [Alone(start, {"1.weight": torch.tensor(rows), "1.bias": torch.zeros(3)})]

    honest = [update([0, 9.0, 0, 0], [-1.0, 0, 0, 0], [1.0, 0, 0, 0]) for _ in range(2)]
    away = update([0, -9.0, 0, 0], [-1.0, 0, 0, 0], [1.0, 0, 0, 0])
    swapped = update([0, 9.0, 0, 0], [1.0, 0, 0, 0], [-1.0, 0, 0, 0])
    limits = MEASURED["scattering", "head"]
    for fourth, found in ((away, False), (swapped, True)):
        figures = agreements(compare([*honest, honest[0], fourth]), limits)
        assert figures[3] is not None
        assert bool(figures[3].faults) == found
        assert not any(own.faults for own in figures[:3] if own is not None)


def plainly(figures: Compared, limits: Limits) -> list[int]:
    """The same rule as it reads: compare all that are left anew after each that is set aside."""
    left, out = list(range(len(figures.length))), []
    while len(left) >= 3 and 2 * (len(out) + 1) < len(figures.length):
        excess = {}
        for own in left:
            peers = [other for other in left if other != own]
            length = figures.length[own] / np.median(figures.length[left])
            excess[own] = max(
                limits.direction - np.median(figures.direction[own, peers]),
                limits.diagnosis - np.median(figures.diagnosis[own, peers]),
                abs(np.log(length)) - np.log(limits.length),
            )
        worst = max(left, key=lambda own: excess[own])
        if excess[worst] <= 0:
            break
        out.append(worst)
        left.remove(worst)
    return sorted(out)


def test_bundles_are_set_aside_as_if_all_were_compared_anew() -> None:
    aside = 0
    for seed in range(60):
        draws = np.random.default_rng(seed)
        n = int(draws.integers(2, 40))
        updates = draws.normal(size=(n, 5)) + draws.choice([-1.5, 1.5], (n, 1), p=[0.3, 0.7])
        updates /= np.linalg.norm(updates, axis=1, keepdims=True)
        cosines = (updates @ updates.T).round(2 if seed % 2 else 9)  # with and without ties
        figures = Compared(cosines, cosines[::-1, ::-1], np.exp(draws.normal(size=n) / 2))
        assert blamed(figures) == plainly(figures, LIMITS)
        aside += len(blamed(figures))
    assert aside > 100


def test_one_in_ten_of_a_thousand_is_found_in_a_second() -> None:
    signs = [-1.0 if n % 10 == 0 else 1.0 for n in range(1000)]
    began = time.process_time()
    assert blamed(compared(*signs)) == list(range(0, 1000, 10))
    assert time.process_time() - began < 5
