"""Head distillation: exact derivatives, a body that never moves, and a receiver that agrees."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from run_kit import SAME, TINY, BrokenOffError, break_off_after, contents, settings
from torch import nn
from torch.nn import functional

from gdshare.distill import head
from gdshare.distill.head import Body, Head, OuterLoss, body_of, public_images, train_head
from gdshare.distill.loop import distill, score_run
from gdshare.distill.problem import prepare
from gdshare.distill.run_folder import read_record
from gdshare.distill.score_record import read_score
from gdshare.distill.unroll import InnerData, Unknowns, constrain
from gdshare.method import Settings
from gdshare.networks import build, draw, forward
from gdshare.patch_tensors import patch_accuracy
from gdshare.pooling import contribution_from, train_pooled
from gdshare.theta0 import announced_theta0

STEPS = 4
SOFT, HARD = torch.empty(0), torch.eye(3, dtype=torch.float64).repeat(2, 1)
ADAM = {"outer": "adam", "outer_loss": "cross-entropy", "penalty": 0.0}
HEAD = settings(
    train="head",
    theta0="announced",
    batch=30,
    steps=5,
    inner_rate=1.0,
    outer_rate=0.2,
    **ADAM,
)
SCATTERED = Settings(
    batch=60, outer_steps=12, score_every=5, score_patches=20, checkpoint_every=3, seed=3
)


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def smooth_body():
    """A small body without kinks, in float64, so that central differences are exact enough."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Identity())
    theta0 = {"0.weight": draws(2, 1, 3, 3, seed=1), "0.bias": draws(2, seed=2)}
    theta0 |= {"3.weight": draws(3, 8, seed=3), "3.bias": draws(3, seed=4)}
    return Body(module, "3", theta0, draws(8, seed=5), draws(8, seed=6).abs())


def unknowns(rates=STEPS):
    return Unknowns(draws(6, 1, 4, 4), draws(6, 3), draws(rates) - 1)


REAL = draws(7, 8, seed=9), torch.arange(7) % 3


def loss_after(values, targets, stop, sets):
    data = constrain(values, targets, sets)
    trained = train_head(Head.zeros(smooth_body()), data, stop)
    return float(functional.cross_entropy(trained.logits(REAL[0]), REAL[1]))


@pytest.mark.parametrize("targets", [SOFT, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize("rates", [1, STEPS], ids=["one rate", "a rate a step"])
@pytest.mark.parametrize("sets", [1, 2], ids=["one set", "a set a step"])
def test_the_full_unroll_agrees_with_central_differences(sets, rates, targets):
    start = Head.zeros(smooth_body())
    values = unknowns(rates)
    gradient = head.window(start, values, targets, REAL, STEPS, STEPS, sets)
    assert gradient.loss == pytest.approx(loss_after(values, targets, STEPS, sets), rel=1e-12)
    for name, ours in zip(("images", "logits", "rates"), gradient.tensors(), strict=True):
        numeric = torch.zeros_like(ours)
        for place in range(ours.numel()):
            moved = []
            for step in (1e-5, -1e-5):
                tensor = getattr(values, name).clone()
                tensor.view(-1)[place] += step
                moved.append(loss_after(replace(values, **{name: tensor}), targets, STEPS, sets))
            numeric.view(-1)[place] = (moved[0] - moved[1]) / 2e-5
        assert torch.allclose(ours, numeric, atol=1e-8), name


def test_a_window_counts_earlier_steps_as_constant():
    start, values = Head.zeros(smooth_body()), unknowns()
    data = constrain(values, SOFT, 1)
    before = train_head(start, data, 2)
    windowed = head.window(start, values, SOFT, REAL, 3, 1)
    later = Unknowns(values.images, values.logits, values.rates[2:])
    alone = head.window(before, later, SOFT, REAL, 1, 1)
    assert windowed.loss == pytest.approx(alone.loss)
    assert torch.allclose(windowed.images, alone.images)
    assert torch.equal(windowed.rates[:2], torch.zeros(2, dtype=torch.float64))
    assert torch.allclose(windowed.rates[2], alone.rates[0])


def test_greedy_steps_end_where_the_trajectory_ends():
    moving, values = Head.zeros(smooth_body()), unknowns()
    for step in range(STEPS):
        gradient, moving = head.greedy(moving, values, SOFT, REAL, step)
        assert not gradient.rates[torch.arange(STEPS) != step].any()
    end = train_head(Head.zeros(smooth_body()), constrain(values, SOFT, 1), STEPS)
    assert torch.allclose(moving.weight, end.weight)
    assert not moving.weight.requires_grad


@pytest.mark.parametrize("network", ["convnet", "resnet18", "scattering"])
def test_the_whole_network_gives_the_heads_logits_and_keeps_its_body(network):
    theta0 = draw(network, build(network, 32), torch.Generator().manual_seed(0))
    body = body_of(network, 32, theta0)
    trained = replace(
        Head.zeros(body),
        weight=torch.randn(3, len(body.scale), generator=torch.Generator().manual_seed(1)),
        bias=torch.tensor([0.1, -0.2, 0.3]),
    )
    x = public_images(32)[:5]
    weights = trained.network()
    logits = forward(build(network, 32), weights, x)
    assert torch.allclose(logits, trained.logits(body.features_of(x)), atol=1e-4)
    changed = {name for name in weights if not torch.equal(weights[name], theta0[name])}
    assert changed == {f"{body.last}.weight", f"{body.last}.bias"}


@pytest.mark.parametrize("network", ["convnet", "resnet18", "scattering"])
def test_features_of_public_images_are_centred_and_of_unit_length(network):
    theta0 = draw(network, build(network, 32), torch.Generator().manual_seed(0))
    features = body_of(network, 32, theta0).features_of(public_images(32))
    assert features.mean(0).abs().max() < 1e-4
    assert 0.8 < features.square().sum(1).mean() < 1.2


def test_public_images_are_in_the_range_of_patches_and_always_the_same():
    images = public_images(16)
    assert torch.equal(images, public_images(16))
    assert images.min() >= -2
    assert images.max() <= 2


@pytest.mark.parametrize("chosen", [HEAD, SCATTERED], ids=["convnet", "scattering"])
def test_a_receiver_trains_the_network_that_was_scored(chosen, cohort, tmp_path):
    outcome = distill(cohort, tmp_path / "run", chosen)
    record = read_record(tmp_path / "run")
    part = contribution_from("a", outcome.distilled, record, 10)
    network = train_pooled([part], cohort.protocol, "average", 0, ensemble=5).ensemble
    assert len(network) == 1
    x, classes = prepare(cohort, chosen, "cpu").scoring
    module = build(chosen.network, cohort.protocol.side)
    assert patch_accuracy(module, network[0], x, classes) == outcome.score.mean


def test_what_a_run_of_heads_measured_is_measured_again(cohort, tmp_path):
    outcome = distill(cohort, tmp_path / "run", HEAD)
    again = score_run(read_record(tmp_path / "run"), outcome.distilled, cohort)
    kept = read_score(tmp_path / "run", outcome.distilled)
    assert again == kept.model_copy(update={"run_sha256": None})


def test_a_run_learns_from_all_its_features(cohort, tmp_path):
    outcome = distill(cohort, tmp_path / "run", HEAD.model_copy(update={"outer_steps": 40}))
    assert outcome.score.mean > 0.5
    assert outcome.train_score is not None
    assert outcome.train_score > 0.5


@pytest.mark.parametrize("unroll", ["full", "window", "greedy"])
def test_an_interrupted_run_of_heads_goes_on_to_the_same_bytes(unroll, cohort, tmp_path):
    chosen = HEAD.model_copy(update={"unroll": unroll})
    distill(cohort, tmp_path / "whole", chosen)
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "broken", chosen, progress=break_off_after(7))
    distill(cohort, tmp_path / "broken", chosen, resume=True)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert set(contents(tmp_path / "whole")) == set(SAME)


def test_an_interrupted_run_by_lbfgs_goes_on_to_the_same_bytes(cohort, tmp_path):
    distill(cohort, tmp_path / "whole", SCATTERED)
    with pytest.raises(BrokenOffError):
        distill(cohort, tmp_path / "broken", SCATTERED, progress=break_off_after(7))
    distill(cohort, tmp_path / "broken", SCATTERED, resume=True)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_lbfgs_sees_one_loss_and_never_goes_up(cohort, tmp_path):
    losses = []
    distill(cohort, tmp_path / "run", SCATTERED, progress=lambda tick: losses.append(tick.loss))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_the_outer_loss_of_squares_is_about_centred_labels():
    trained = replace(Head.zeros(smooth_body()), weight=draws(3, 8), bias=draws(3, seed=2))
    features, classes = REAL
    logits = (features @ trained.weight.T + trained.bias).numpy()
    wanted = np.eye(3)[classes.numpy()] - 1 / 3
    square = ((logits - wanted) ** 2).sum(1).mean()
    penalty = 0.1 * float((trained.weight**2).sum())
    loss = OuterLoss("square", 0.1).of(trained, features, classes)
    assert float(loss) == pytest.approx(square + penalty)


def test_features_are_kept_of_no_more_patches_than_allowed(cohort):
    reports = []
    chosen = settings(**HEAD.model_dump() | {"feature_patches": 10})
    problem = prepare(cohort, chosen, "cpu", lambda *report: reports.append(report))
    assert problem.features.train.shape == (30, 128)
    assert [len(rows) for rows in problem.features.rows] == [10, 10, 10]
    assert reports[-1] == (30, 30)


def test_the_body_is_the_announced_one(cohort):
    problem = prepare(cohort, HEAD, "cpu")
    theta0 = announced_theta0(HEAD, build("convnet", TINY.side))
    assert all(torch.equal(theta0[name], problem.features.body.theta0[name]) for name in theta0)


def test_images_train_a_head_from_zeros():
    data = tensors_of_noise()
    body = smooth_body()
    assert not Head.zeros(body).weight.any()
    assert train_head(Head.zeros(body), data, 1).weight.any()


def tensors_of_noise():
    return constrain(unknowns(), SOFT, 1)


def test_train_head_wants_a_body_that_stays():
    with pytest.raises(ValueError, match="choose theta0 announced"):
        Settings(network="convnet", train="head", theta0="random")
    assert Settings(network="convnet", train="head").theta0 == "announced"


def page_features(seed, side, body, weights, x):
    """ψ(x) by steps 2 to 4 of docs/bundle-format.md, in numpy and float64."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(1024, side, side, generator=generator).numpy().astype(np.float64)
    uniform = torch.rand(3, 1024, 1, 1, generator=generator).numpy().astype(np.float64)
    e, level, c = uniform
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    f[0, 0] = 1 / side
    n = np.fft.ifft2(np.fft.fft2(z) / f ** (0.8 + 1.2 * e)).real
    n = (n - n.mean((1, 2), keepdims=True)) / n.std((1, 2), ddof=1, keepdims=True)
    public = (np.clip(0.2 + 0.6 * level + (0.05 + 0.2 * c) * n, 0, 1) - 0.5) / 0.25

    def phi(images):
        inputs = torch.from_numpy(images).float().unsqueeze(1)
        return forward(body, weights, inputs).numpy().astype(np.float64)

    m, s = phi(public).mean(0), phi(public).std(0, ddof=1)
    s = np.maximum(s, s.mean() / 20)
    return (phi(x) - m) / (s * np.sqrt(len(s)))


def test_a_reader_who_follows_the_format_page_gets_the_same_network():
    """Steps 2 to 6 of docs/bundle-format.md, with the seed that the page gives."""
    page = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text(encoding="utf-8")
    seed, side = int(re.search(r"which\s+is\s+(\d+)\.", page)[1]), 16
    module = build("convnet", side)
    theta0 = announced_theta0(HEAD, module)
    body_weights = {name: theta0[name] for name, _ in module[:-1].named_parameters()}
    x = np.random.default_rng(0).normal(size=(11, side, side))
    labels, rates, sets = np.eye(3)[np.arange(6) % 3] * 0.7 + 0.1, [1.0, 0.5, 2.0, 1.5], 2
    psi = page_features(seed, side, module[:-1], body_weights, x)
    w, b = np.zeros((3, psi.shape[1])), np.zeros(3)
    for t, rate in enumerate(rates):
        rows = slice(3 * (t % sets), 3 * (t % sets) + 3)
        exponents = np.exp(psi[rows] @ w.T + b)
        slope = (exponents / exponents.sum(1, keepdims=True) - labels[rows]) / 3
        w, b = w - rate * slope.T @ psi[rows], b - rate * slope.sum(0)

    images = torch.from_numpy(x).float().unsqueeze(1)
    data = InnerData(images[:6], torch.tensor(labels).float(), torch.tensor(rates), sets)
    trained = train_head(Head.zeros(body_of("convnet", side, theta0)), data, len(rates))
    logits = forward(module, trained.network(), images[6:]).numpy()
    np.testing.assert_allclose(logits, psi[6:] @ w.T + b, atol=1e-4)
    assert np.ptp(logits, axis=0).min() > 0.01  # far from the tolerance


def page_scattering(x):
    """φ of ``scattering`` by docs/bundle-format.md, in numpy and float64: [side, side] -> [F]."""
    side = len(x)
    scales, omega = int(np.log2(side / 4)), 2 * np.pi * np.fft.fftfreq(side)
    p, q = omega[:, None], omega[None, :]

    def waves(j, d):
        t, c, v = np.pi * d / 8, 3 * np.pi / 4 / 2**j, (0.8 * 2**j) ** 2
        u, w = q * np.cos(t) + p * np.sin(t), p * np.cos(t) - q * np.sin(t)
        low = np.exp(-v * c**2 / 2) * np.exp(-v * (u**2 + w**2) / 2)
        return np.exp(-v * ((u - c) ** 2 + w**2) / 2) - low

    def filtered(image, j, d):
        return np.abs(np.fft.ifft2(np.fft.fft2(image) * waves(j, d)))

    def cells(image):
        cell = side // 4
        return image.reshape(4, cell, 4, cell).mean((1, 3)).ravel()

    found = [cells(x)]
    for j in range(scales):
        first = [filtered(x, j, d) for d in range(8)]
        found += [np.log(0.02 + cells(image)) for image in first]
        for k in range(j + 1, scales):
            pairs = (filtered(image, k, d) for image in first for d in range(8))
            found += [np.log(0.02 + cells(image)) for image in pairs]
    return np.concatenate(found)


@pytest.mark.parametrize("side", [8, 32])
def test_a_reader_who_follows_the_format_page_gets_the_same_features_of_scattering(side):
    x = np.random.default_rng(0).normal(size=(side, side))
    ours = build("scattering", side)[:-1](torch.from_numpy(x)[None, None].float())[0]
    np.testing.assert_allclose(ours.numpy(), page_scattering(x), atol=1e-4)
