import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from benchmarks.engine.agreement import relative
from benchmarks.engine.graph import Graph
from benchmarks.engine.problem import Problem
from benchmarks.engine.recipe import RECIPE, Recipe, flat, flat_network, meta_gradient
from benchmarks.engine.rivals import CHECKOUT_VARIABLE, make
from benchmarks.engine.score import trained
from benchmarks.engine.tasks import gaussian
from benchmarks.engine.team import Worker
from benchmarks.engine.worker import Job
from gdshare.errors import RunError, UsageError
from gdshare.networks import forward

STEPS = 4


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.GroupNorm(3, 3)
        self.head = nn.Linear(3 * 16, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.conv(x))).flatten(1))


def tiny():
    torch.manual_seed(0)
    module = Tiny().double()
    theta = {name: p.detach().clone() for name, p in module.named_parameters()}
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    raw = torch.linspace(-2, -1, STEPS, dtype=torch.float64)
    real = torch.randn(5, 1, 4, 4, dtype=torch.float64), torch.arange(5) % 2
    return module, theta, images, raw, real


def one_graph(module, theta, images, raw, real):
    images, raw = images.clone().requires_grad_(), raw.clone().requires_grad_()
    theta = {name: w.clone().requires_grad_() for name, w in theta.items()}
    for rate in functional.softplus(raw):
        loss = functional.cross_entropy(forward(module, theta, images), torch.arange(2))
        grads = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        theta = {n: w - rate * g for (n, w), g in zip(theta.items(), grads, strict=True)}
    outer = functional.cross_entropy(forward(module, theta, real[0]), real[1])
    return outer.item(), torch.autograd.grad(outer, (images, raw))


def test_walking_back_gives_the_derivative_of_one_graph_through_all_steps():
    module, theta, images, raw, real = tiny()
    found = meta_gradient(flat_network(module), flat(theta), images, raw, real)
    loss, (by_images, by_rates) = one_graph(module, theta, images, raw, real)
    assert found.loss == pytest.approx(loss, rel=1e-12)
    assert relative(found.images, by_images) < 1e-12
    assert relative(found.rates, by_rates) < 1e-12


def test_the_graph_rival_computes_what_the_recipe_does():
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    graph, recipe = Graph(problem).gradient(), Recipe(problem).gradient()
    assert graph.loss == pytest.approx(recipe.loss, rel=1e-5)
    assert relative(graph.images, recipe.images) < 1e-3
    assert relative(graph.rates, recipe.rates) < 1e-3


def test_our_engine_computes_what_the_recipe_does_when_labels_are_hard():
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    ours, recipe = make("ours-recipe", problem, None).gradient(), Recipe(problem).gradient()
    assert ours.loss == pytest.approx(recipe.loss, rel=1e-5)
    assert relative(ours.images, recipe.images) < 1e-3
    assert relative(ours.rates, recipe.rates) < 1e-3


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


@pytest.mark.parametrize("name", ["recipe", "graph", "ours"])
def test_a_restored_rival_goes_on_as_if_nothing_had_happened(name):
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    straight, first, second = (make(name, problem, None) for _ in range(3))
    for _ in range(4):
        straight.outer_step()
    for _ in range(2):
        first.outer_step()
    second.restore(first.tensors(), first.done)
    for _ in range(2):
        second.outer_step()
    assert second.distilled().to_bytes() == straight.distilled().to_bytes()


def test_the_judge_trains_as_the_rivals_do():
    problem = gaussian("convnet", 8, batch=6, steps=3, seed=0)
    recipe = Recipe(problem)
    end = trained(problem.module, problem.theta0(0), recipe.distilled(), problem.steps)
    x, y = problem.minibatch(0)
    judged = functional.cross_entropy(forward(problem.module, end, x), y).item()
    assert judged == pytest.approx(recipe.gradient().loss, rel=1e-5)


def test_their_code_cannot_run_without_a_checkout(tmp_path):
    problem = gaussian("convnet", 8, batch=3, steps=2, seed=0)
    with pytest.raises(UsageError, match="needs a checkout"):
        make("ssnl", problem, None)
    with pytest.raises(UsageError, match="no checkout of ssnl/dataset-distillation"):
        make("ssnl", problem, tmp_path)


def test_a_rival_that_cannot_start_says_why():
    job = Job(rival="ssnl", network="convnet", side=8, batch=3, steps=2)
    with pytest.raises(RunError, match="needs a checkout"), Worker(job):
        pass


def test_their_own_code_computes_what_the_recipe_does(tmp_path):
    named = os.environ.get(CHECKOUT_VARIABLE)
    if not named:
        pytest.skip(f"no checkout of ssnl/dataset-distillation: set {CHECKOUT_VARIABLE}=PATH")
    found = []
    for rival in ("ssnl", "recipe"):
        job = Job(
            rival=rival,
            network="convnet",
            side=8,
            batch=6,
            steps=3,
            precision="float64",
            checkout=Path(named).resolve(),
        )
        with Worker(job) as worker:
            worker.gradient(tmp_path / rival)
            after = worker.step().loss, worker.step().loss
        found.append((load_file(tmp_path / rival), after))
    (theirs, their_losses), (ours, our_losses) = found
    assert relative(ours["images"], theirs["images"]) < 1e-12
    assert relative(ours["rates"], theirs["rates"]) < 1e-12
    assert our_losses == pytest.approx(their_losses, rel=1e-9)
