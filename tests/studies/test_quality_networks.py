from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from site_kit import PROTOCOL, make_cohort

from gdshare.cohort import open_cohort
from gdshare.errors import DivergedError, FilmError, RunError, UsageError
from gdshare.model import Model
from gdshare.networks import build, draw
from gdshare.protocol import PatchClass, Protocol
from gdshare.seeding import torch_generator
from gdshare.training import TrainingPlan
from studies.quality import batchnorm, distilled
from studies.quality.figures import ratios
from studies.quality.films import Entry, keep_film, windows
from studies.quality.network import Network
from studies.quality.seen import gather, read_seen

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
    module = batchnorm.drawn(5)
    assert torch.equal(torch.get_rng_state(), before)
    weights = module.state_dict()
    again = batchnorm.drawn(5).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["conv1.weight"], batchnorm.drawn(6).state_dict()["conv1.weight"])
    assert weights["conv1.weight"].shape == (64, 1, 7, 7)
    assert weights["fc.weight"].shape == (3, 512)
    assert "layer1.0.bn1.running_mean" in weights
    for name, fan_out in (("conv1", 64 * 49), ("layer3.0.conv1", 256 * 9)):
        deviation = float(weights[f"{name}.weight"].std())
        assert deviation == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    assert torch.equal(weights["layer1.0.bn2.weight"], torch.ones(64))


def test_batchnorm_training_repeats_and_infers_by_running_statistics(cohort):
    first, again = (batchnorm.train_on_real([cohort], PLAN) for _ in range(2))
    weights = first.network.weights
    assert all(torch.equal(weights[name], again.network.weights[name]) for name in weights)
    assert (first.score, first.rate, first.epoch) == (again.score, again.rate, again.epoch)
    assert first.rate in PLAN.rates
    assert 1 <= first.epoch <= PLAN.epochs
    assert not torch.equal(weights["bn1.running_mean"], torch.zeros(64))
    # a patch's probabilities do not depend on which others are looked at with it
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    together = first.network.probabilities(x)
    alone = torch.cat([first.network.probabilities(one) for one in x.split(1)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_last_batch_of_a_single_patch_is_left_out(cohort):
    plan = replace(PLAN, per_class=5, batch=14, rates=(1e-3,), epochs=1)  # 15 patches: 14 and 1
    assert batchnorm.train_on_real([cohort], plan).patches == 15


def test_no_learning_rate_is_refused(cohort):
    with pytest.raises(UsageError, match="learning rate"):
        batchnorm.train_on_real([cohort], replace(PLAN, rates=()))


def test_weights_survive_safetensors(cohort):
    found = batchnorm.train_on_real([cohort], replace(PLAN, rates=(1e-3,), epochs=1)).network
    kept = load(save({name: tensor.contiguous() for name, tensor in found.weights.items()}))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    again = Network(batchnorm.shape(), kept)
    assert torch.equal(found.probabilities(x), again.probabilities(x))
    assert again.probabilities(x).sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)


def test_a_film_is_cut_by_the_grid_it_is_asked_for(cohort):
    film = cohort.films[0].image  # 64 x 64 px
    assert windows(film, PROTOCOL).shape == (16, 1, 8, 8)
    dense = windows(film, PROTOCOL.model_copy(update={"stride": 8}))
    assert dense.shape == (49, 1, 8, 8)
    assert torch.equal(
        dense.view(7, 7, 1, 8, 8)[::2, ::2].reshape(16, 1, 8, 8), windows(film, PROTOCOL)
    )
    with pytest.raises(FilmError, match="no window"):
        windows(film, Protocol(patch=100, stride=10, side=8))


def test_what_networks_see_is_kept_per_film_without_names_and_read_back(cohort, tmp_path):
    networks = [network(seed) for seed in range(3)]
    films = [*cohort.films_of("val")[:2], *cohort.films_of("test")[:3]]
    for number, film in enumerate(films):
        entry = Entry(site=1, patient=40 + number, film=film)
        keep_film(tmp_path / f"{number:05d}.npz", entry, networks, PROTOCOL)
    with np.load(tmp_path / "00000.npz", allow_pickle=False) as kept:
        assert kept["probabilities"].shape == (3, 16, 3)
        assert kept["probabilities"].dtype == np.float16
        assert "secret" not in repr(dict(kept))
    gather(tmp_path, len(films))
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as kept:
        assert set(kept) == {"split", "site", "patient", "votes", "sums"}
    diagnoses = [np.zeros(0, bool), np.array([False] * 40 + [film.positive for film in films])]
    found = read_seen(tmp_path, diagnoses)
    assert found["val"].patient.tolist() == [40, 41]
    test = found["test"]
    assert test.patient.tolist() == [42, 43, 44]
    assert test.site.tolist() == [1, 1, 1]
    assert test.positive.tolist() == [film.positive for film in films[2:]]
    assert test.votes.shape == test.sums.shape == (3, 3, 3)
    assert (test.votes.sum(2) == 16).all()
    # of every window a network calls N or P, probabilities sum to 1; of the others nothing is kept
    assert test.sums.sum(2) == pytest.approx(test.votes[:, :, 1:].sum(2), abs=0.05)
    exact = networks[2].probabilities(windows(films[3].image, PROTOCOL))
    called = exact.argmax(1)
    assert test.votes[2, 1].tolist() == [int((called == one).sum()) for one in PatchClass]
    kept = exact[called != PatchClass.I]
    assert test.sums[2, 1] == pytest.approx(kept.sum(0).numpy(), abs=0.02)


def test_probabilities_of_windows_outside_the_organ_have_no_say(tmp_path):
    # network 0 calls its windows I, P, N; network 1 calls all of them I
    seen = [[[0.5, 0.1, 0.4], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]], [[0.6, 0.0, 0.4]] * 3]
    for number, split in enumerate(("val", "test")):
        np.savez(
            tmp_path / f"{number:05d}.npz",
            probabilities=np.array(seen, np.float16),
            called=np.array(seen).argmax(2).astype(np.uint8),
            site=np.int64(0),
            patient=np.int64(0),
            split=np.str_(split),
        )
    gather(tmp_path, 2)
    found = read_seen(tmp_path, [np.array([True])])["test"]
    assert found.sums[:, 0].tolist() == [
        pytest.approx([0.4, 0.8, 0.8], abs=1e-3),
        [0.0, 0.0, 0.0],
    ]
    for way in ("votes", "probabilities"):
        assert ratios(found, (0,), way)[0].tolist() == pytest.approx([0.5], abs=1e-3)
        assert ratios(found, (0,), way)[1].tolist() == [False]
        assert ratios(found, (1,), way)[1].tolist() == [True]
        assert ratios(found, (1,), way)[0].tolist() == [0.0]


def test_a_missing_or_damaged_film_is_refused(cohort, tmp_path):
    for name, read in (
        ("00000.npz", lambda: gather(tmp_path, 1)),
        ("seen.npz", lambda: read_seen(tmp_path, [])),
    ):
        with pytest.raises(RunError, match=name):
            read()
        (tmp_path / name).write_bytes(b"PK\x03\x04 not an archive")
        with pytest.raises(RunError, match=name):
            read()


def test_films_of_patients_that_the_hospitals_do_not_have_are_refused(cohort, tmp_path):
    entry = Entry(site=0, patient=7, film=cohort.films_of("test")[0])
    keep_film(tmp_path / "00000.npz", entry, [network(0)], PROTOCOL)
    gather(tmp_path, 1)
    with pytest.raises(RunError, match="other films"):
        read_seen(tmp_path, [np.zeros(7, bool)])


def test_a_network_that_leaves_the_range_of_numbers_calls_every_window_i(monkeypatch):
    def diverge(*given):
        raise DivergedError("out of range")

    monkeypatch.setattr(distilled, "train_pooled", diverge)
    protocol = Protocol(patch=16, stride=16, side=16)
    fold = SimpleNamespace(plan=SimpleNamespace(protocol=protocol))
    brought = [SimpleNamespace(method=SimpleNamespace(network="convnet"))]
    network = distilled._network(brought, fold, "in-step", 0)
    assert (network.probabilities(torch.randn(5, 1, 16, 16)).argmax(1) == 0).all()
