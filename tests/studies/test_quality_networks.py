from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from site_kit import PROTOCOL, make_cohort

from gdshare.cohort import open_cohort
from gdshare.errors import DivergedError, FilmError, RunError
from gdshare.model import Model
from gdshare.networks import build, draw
from gdshare.protocol import PatchClass, Protocol
from gdshare.seeding import torch_generator
from gdshare.training import TrainingPlan
from studies.networks import Network
from studies.quality import networks
from studies.quality.figures import ratios
from studies.quality.networks import count, films_of, look, windows
from studies.runner import Result

PLAN = TrainingPlan(per_class=5, epochs=2, batch=7, rates=(1e-3, 1e-4), seed=3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return open_cohort(make_cohort(tmp_path_factory.mktemp("site")))


def network(seed, side=8):
    module = build("convnet", side)
    weights = draw("convnet", module, torch_generator(seed, "test"))
    return Network.of(Model("convnet", Protocol(patch=16, stride=16, side=side), (weights,)))


def test_batchnorm_weights_are_torchvisions_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    module = networks.drawn(5)
    assert torch.equal(torch.get_rng_state(), before)
    weights = module.state_dict()
    again = networks.drawn(5).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["conv1.weight"], networks.drawn(6).state_dict()["conv1.weight"])
    assert weights["conv1.weight"].shape == (64, 1, 7, 7)
    assert weights["fc.weight"].shape == (3, 512)
    assert "layer1.0.bn1.running_mean" in weights
    for name, fan_out in (("conv1", 64 * 49), ("layer3.0.conv1", 256 * 9)):
        deviation = float(weights[f"{name}.weight"].std())
        assert deviation == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    assert torch.equal(weights["layer1.0.bn2.weight"], torch.ones(64))


def test_batchnorm_training_repeats_and_infers_by_running_statistics(cohort):
    (first, facts), (again, same) = (networks.train_batchnorm([cohort], PLAN) for _ in range(2))
    assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert facts == same
    assert facts["rate"] in PLAN.rates
    assert 1 <= facts["epoch"] <= PLAN.epochs
    assert not torch.equal(first.weights["bn1.running_mean"], torch.zeros(64))
    # a patch's probabilities do not depend on which others are looked at with it
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    together = first.probabilities(x)
    alone = torch.cat([first.probabilities(one) for one in x.split(1)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_last_batch_of_a_single_patch_is_left_out(cohort):
    plan = replace(PLAN, per_class=5, batch=14, rates=(1e-3,), epochs=1)  # 15 patches: 14 and 1
    assert networks.train_batchnorm([cohort], plan)[1]["patches"] == 15


def test_a_film_is_cut_by_the_grid_it_is_asked_for(cohort):
    film = cohort.films[0].image  # 64 x 64 px
    assert windows(film, PROTOCOL).shape == (16, 1, 8, 8)
    dense = windows(film, PROTOCOL.model_copy(update={"stride": 8}))
    assert dense.shape == (49, 1, 8, 8)
    assert torch.equal(
        dense.view(7, 7, 1, 8, 8)[::2, ::2].reshape(16, 1, 8, 8), windows(film, PROTOCOL)
    )
    with pytest.raises(FilmError, match="too small for a window"):
        windows(film, Protocol(patch=100, stride=10, side=8))


def test_what_networks_see_is_counted_without_pixels_and_names(cohort):
    several = [network(seed) for seed in range(3)]
    film = cohort.films_of("test")[0]
    counts = look(film.image, PROTOCOL, several)
    assert {name: array.shape for name, array in counts.items()} == {
        "votes": (3, 3),
        "sums": (3, 3),
    }
    assert (counts["votes"].sum(1) == 16).all()
    # of every window a network calls N or P, probabilities sum to 1; of the others nothing is kept
    assert counts["sums"].sum(1) == pytest.approx(counts["votes"][:, 1:].sum(1), abs=0.05)
    exact = several[2].probabilities(windows(film.image, PROTOCOL))
    called = exact.argmax(1)
    assert counts["votes"][2].tolist() == [int((called == one).sum()) for one in PatchClass]
    kept = exact[called != PatchClass.I]
    assert counts["sums"][2] == pytest.approx(kept.sum(0).numpy(), abs=0.02)


def seen(counts, splits, patients):
    arrays = {name: np.stack([counts[name]] * len(splits), 1) for name in counts}
    sites = np.zeros(len(splits), np.uint16)
    patient = np.array(patients, np.uint16)
    return Result({}, arrays | {"split": np.array(splits), "site": sites, "patient": patient})


def test_probabilities_of_windows_outside_the_organ_have_no_say():
    # network 0 calls its windows I, P, N; network 1 calls all of them I
    first = [[0.5, 0.1, 0.4], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]]
    counts = count(np.array([first, [[0.6, 0.0, 0.4]] * 3], np.float32))
    films = films_of(seen(counts, ["val", "test"], [0, 0]), [np.array([True])])["test"]
    assert films.sums[:, 0].tolist() == [
        pytest.approx([0.4, 0.8, 0.8], abs=1e-3),
        [0.0, 0.0, 0.0],
    ]
    for way in ("votes", "probabilities"):
        assert ratios(films, (0,), way)[0].tolist() == pytest.approx([0.5], abs=1e-3)
        assert ratios(films, (0,), way)[1].tolist() == [False]
        assert ratios(films, (1,), way)[1].tolist() == [True]
        assert ratios(films, (1,), way)[0].tolist() == [0.0]


def test_films_of_patients_that_the_hospitals_do_not_have_are_refused():
    counts = count(np.full((1, 4, 3), 1 / 3, np.float32))
    films = films_of(seen(counts, ["val", "test"], [6, 2]), [np.arange(7) == 6])
    assert films["val"].positive.tolist() == [True]
    assert films["test"].patient.tolist() == [2]
    with pytest.raises(RunError, match="other films"):
        films_of(seen(counts, ["test"], [7]), [np.zeros(7, bool)])


def test_a_network_survives_its_file_and_a_missing_one_is_refused(tmp_path):
    network(0).write(tmp_path)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    again = Network.read(tmp_path, build("convnet", 8))
    assert torch.equal(again.probabilities(x), network(0).probabilities(x))
    with pytest.raises(RunError, match="cannot be read"):
        Network.read(tmp_path / "nowhere", build("convnet", 8))


def test_a_network_that_leaves_the_range_of_numbers_calls_every_window_i(monkeypatch):
    def diverge(*given):
        raise DivergedError("out of range")

    monkeypatch.setattr(networks, "train_pooled", diverge)
    protocol = Protocol(patch=16, stride=16, side=16)
    brought = [SimpleNamespace(method=SimpleNamespace(network="convnet"))]
    (network,) = networks.pooled(brought, protocol, "in-step", 0, 1)
    assert (network.probabilities(torch.randn(5, 1, 16, 16)).argmax(1) == 0).all()
