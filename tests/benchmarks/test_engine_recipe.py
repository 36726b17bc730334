import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.engine.recipe import RECIPE, Graph, Recipe
from benchmarks.engine.rivals import make
from benchmarks.engine.ssnl import CHECKOUT_VARIABLE
from benchmarks.engine.tasks import Problem, gaussian
from benchmarks.engine.timed_run import trained
from benchmarks.engine.worker import Job, worker
from gdshare.errors import UsageError
from gdshare.networks import forward

STEPS = 4


def relative(actual, expected):
    """Euclidean length of the difference over that of the expected."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    return float((actual - expected).norm() / expected.norm())


class Tiny(nn.Module):
    """Smooth, so that two ways to the derivative differ by rounding alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.GroupNorm(3, 3)
        self.head = nn.Linear(3 * 16, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))


@pytest.fixture
def smooth(float64):
    torch.manual_seed(0)
    module = Tiny()
    real = torch.randn(5, 1, 4, 4), torch.arange(5) % 2

    def theta0(step):
        return {name: p.detach().clone() for name, p in module.named_parameters()}

    return Problem(module, theta0, lambda step: real, 4, 2, STEPS, 1000, seed=0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_walking_back_gives_the_derivative_of_one_graph_through_all_steps(smooth):
    recipe, graph = Recipe(smooth).gradient(), Graph(smooth).gradient()
    assert recipe.loss == pytest.approx(graph.loss, rel=1e-12)
    assert relative(recipe.images, graph.images) < 1e-12
    assert relative(recipe.rates, graph.rates) < 1e-12


def test_our_engine_computes_what_the_recipe_does_when_labels_are_hard(float64):
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    ours, recipe = make("ours-recipe", problem, None).gradient(), Recipe(problem).gradient()
    assert ours.loss == pytest.approx(recipe.loss, rel=1e-12)
    assert relative(ours.images, recipe.images) < 1e-12
    assert relative(ours.rates, recipe.rates) < 1e-12


def test_in_single_precision_the_rivals_differ_by_rounding():
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    recipe = Recipe(problem).gradient()
    for rival in ("ours-recipe", "graph"):
        gradient = make(rival, problem, None).gradient()
        assert relative(gradient.images, recipe.images) < 1e-3
        assert relative(gradient.rates, recipe.rates) < 1e-3


def test_a_training_step_is_one_of_adam_and_its_rate_is_cut_with_the_passes():
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    passes = Problem(**(vars(problem) | {"steps_per_epoch": 1}))
    recipe = Recipe(passes)
    before, gradient = recipe.distilled().images, recipe.gradient().images
    recipe.outer_step()
    moved = torch.from_numpy(recipe.distilled().images - before)
    # Adam's first step is its rate against the derivative's sign, but for what it adds below it.
    plain = gradient.abs() > 1e-6
    assert plain.float().mean() > 0.5
    expected = -0.01 * gradient.sign()
    torch.testing.assert_close(moved[plain], expected[plain], atol=2e-4, rtol=0)
    assert [RECIPE.outer_rate_at(epoch) for epoch in (39, 40, 80)] == [0.01, 0.005, 0.0025]


def test_every_inner_step_starts_at_the_recipes_rate():
    rates = Recipe(gaussian("convnet", 8, batch=3, steps=5, seed=0)).distilled().learning_rates
    assert rates.tolist() == pytest.approx([0.02] * 5)


@pytest.mark.parametrize("name", ["recipe", "ours", "ours-hard"])
def test_a_restored_rival_goes_on_as_if_nothing_had_happened(name):
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    straight, first, second = (make(name, problem, None) for _ in range(3))
    for _ in range(4):
        straight.outer_step()
    for _ in range(2):
        first.outer_step()
    second.restore(first.state())
    for _ in range(2):
        second.outer_step()
    assert second.distilled().to_bytes() == straight.distilled().to_bytes()


def test_scoring_trains_as_the_rivals_do():
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    recipe = Recipe(problem)
    end = trained(problem.module, problem.theta0(0), recipe.distilled(), problem.steps)
    x, y = problem.minibatch(0)
    loss = functional.cross_entropy(forward(problem.module, end, x), y).item()
    assert loss == pytest.approx(recipe.gradient().loss, rel=1e-5)


def test_their_code_cannot_run_without_a_checkout(tmp_path):
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    with pytest.raises(UsageError, match="needs a checkout"):
        make("ssnl", problem, None)
    with pytest.raises(UsageError, match="no checkout of ssnl/dataset-distillation"):
        make("ssnl", problem, tmp_path)


def test_their_own_code_computes_what_the_recipe_does():
    named = os.environ.get(CHECKOUT_VARIABLE)
    if not named:
        pytest.skip(f"no checkout of ssnl/dataset-distillation: set {CHECKOUT_VARIABLE}=PATH")
    gradients, losses = [], []
    for rival in ("ssnl", "recipe"):
        checkout = Path(named).resolve()
        size = {"network": "convnet", "side": 8, "batch": 6, "steps": 3}
        job = Job(rival, **size, precision="float64", checkout=checkout)
        with worker(job) as do:
            gradients.append(do("gradient").gradient)
            losses.append([do("step").loss for _ in range(2)])
    (their_images, their_rates), (our_images, our_rates) = gradients
    assert relative(our_images, their_images) < 1e-12
    assert relative(our_rates, their_rates) < 1e-12
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
