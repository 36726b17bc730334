"""Many updates are compared without keeping the networks."""

import numpy as np
import pytest
import torch

from aggregator.admission import updates as module
from aggregator.admission.updates import EXACT_BYTES, WIDTH, Sketch, Updates
from gdshare.pooling import Alone

HEAD = 12


def network(draws: np.random.Generator, weights: int, common: torch.Tensor) -> Alone:
    """A network whose update is half common to all, half its own."""
    own = torch.from_numpy(draws.normal(size=weights).astype(np.float32))
    body, head = (common + own).split([weights - HEAD, HEAD])
    start = {"body": torch.zeros(len(body)), "head": torch.zeros(3, HEAD // 3)}
    return Alone(start, {"body": body, "head": head.reshape(3, -1)})


def gathered(bundles: int, weights: int, seed: int = 0) -> Updates:
    draws = np.random.default_rng(1)
    common = torch.from_numpy(draws.normal(size=weights).astype(np.float32))
    updates = Updates(bundles, np.random.default_rng(seed))
    for place in range(bundles):
        updates.put(place, network(draws, weights, common))
    return updates


def test_few_updates_are_compared_exactly() -> None:
    updates = gathered(3, 2 * WIDTH)
    assert not updates.sketched
    direction, _, length = updates.compared()
    assert np.allclose(np.diag(direction), 1)
    assert direction[0, 1] == pytest.approx(0.5, abs=0.02)
    assert length == pytest.approx(np.full(3, np.sqrt(4 * WIDTH)), rel=0.02)


def test_sketches_give_the_cosines_within_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = 4 * WIDTH
    exact = gathered(8, weights).compared()
    monkeypatch.setattr(module, "EXACT_BYTES", 0)
    off = []
    for seed in range(5):
        updates = gathered(8, weights, seed)
        assert updates.sketched
        direction, diagnosis, length = updates.compared()
        off.append((direction - exact[0])[np.triu_indices(8, 1)])
        assert np.array_equal(diagnosis, exact[1]), "kept exactly"
        assert np.array_equal(length, exact[2]), "kept exactly"
    deviation = float(np.sqrt(np.mean(np.square(off))))
    bound = np.sqrt((1 + 0.5**2) / WIDTH)
    assert 0 < deviation <= 1.3 * bound
    assert abs(float(np.mean(off))) < bound, "right on average"


def test_sketch_is_drawn_again_for_other_bundles() -> None:
    """Whoever knows the sums could hide a weight behind another."""
    first, second = (Sketch.drawn(1000, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first.sums != second.sums).any()
    assert (first.signs != second.signs).any()


def test_memory_of_agreement_does_not_grow_with_the_network_times_the_bundles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kept of a bundle is one sketch, whatever the network; whole ones stay below a bound."""
    monkeypatch.setattr(module, "EXACT_BYTES", 2**20)
    kept = [
        sum(own.numel() * own.element_size() for own in (updates._whole, updates._diagnosis))
        for updates in (gathered(20, weights) for weights in (2 * WIDTH, 16 * WIDTH))
    ]
    assert kept[0] == kept[1]
    assert kept[0] < 20 * 4 * (WIDTH + HEAD)
    monkeypatch.setattr(module, "EXACT_BYTES", EXACT_BYTES)
    assert not gathered(20, 2 * WIDTH).sketched


def test_weight_that_is_not_trained_is_left_out() -> None:
    body = torch.ones(10**6)
    start = {"body": body, "head": torch.zeros(3, 4)}
    ended = Alone(start, {"body": body, "head": torch.ones(3, 4)})
    whole, _ = module.update_of(ended)
    assert len(whole) == 12
