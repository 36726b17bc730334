import pytest
import torch

from gdshare.distill.head import Body, Head
from gdshare.last_layer import PENALTIES, moments, one_hot, ridge, score_of, solve

FEATURES = 5


def a_head(weight):
    body = Body(torch.nn.Identity(), "fc", {}, torch.zeros(FEATURES), torch.ones(FEATURES))
    return Head(body, weight, torch.zeros(3))


ZEROS = a_head(torch.zeros(3, FEATURES))


def patches(count=40, seed=0):
    """Features, and labels that depend on the first of them."""
    points = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))
    return points, one_hot((torch.arange(count) + (points[:, 0] > 0)) % 3)


def easy(count, seed, shift=0):
    """Each class is a direction of its own; ``shift`` turns the labels around."""
    classes = torch.arange(count) % 3
    noise = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))
    points = 0.5 * noise
    points[torch.arange(count), classes] += 2.0
    return points, one_hot((classes + shift) % 3)


def test_hospitals_means_solve_like_their_patches_together():
    points, labels = patches()
    together = moments(points, labels)
    sums = 0.25 * moments(points[:10], labels[:10]) + 0.75 * moments(points[10:], labels[10:])
    assert torch.allclose(sums, together)
    head = ridge(sums, 1e-12, ZEROS)
    exact = torch.linalg.lstsq(torch.cat([points, torch.ones(40, 1)], 1), labels).solution.T
    assert torch.allclose(torch.cat([head.weight, head.bias[:, None]], 1), exact, atol=1e-4)


def test_a_heavy_penalty_leaves_the_prior_and_frees_the_bias():
    points, labels = patches()
    prior = a_head(torch.arange(15.0).view(3, FEATURES) / 15)
    head = ridge(moments(points, labels), 1e8, prior)
    assert torch.allclose(head.weight, prior.weight, atol=1e-5)
    left = (labels - points @ prior.weight.T).mean(0)
    assert torch.allclose(head.bias, left, atol=1e-4)


def test_a_penalty_does_not_depend_on_the_features_scale():
    points, labels = patches()
    one, ten = (ridge(moments(s * points, labels), 0.1, ZEROS) for s in (1, 10))
    assert torch.allclose(one.weight, 10 * ten.weight, atol=1e-5)


def test_of_equal_scores_the_heavier_penalty_is_kept():
    best = solve(easy(300, 0), easy(300, 1), ZEROS)
    assert best.score > 0.9
    own = easy(300, 0)
    scores = {p: score_of(ridge(moments(*own), p, ZEROS), easy(300, 1)) for p in PENALTIES}
    assert best.penalty == max(p for p, score in scores.items() if score == best.score)


def test_a_prior_that_no_penalty_betters_is_kept_as_it_is():
    prior = solve(easy(300, 0), easy(300, 1), ZEROS).head
    misled = solve(easy(30, 2, shift=1), easy(300, 1), prior, keep_prior=True)
    assert misled.penalty is None
    assert misled.head is prior
    assert solve(easy(30, 2, shift=1), easy(300, 1), prior).penalty is not None


def test_others_images_count_by_the_weight_that_validation_chooses():
    turned = easy(3, 3, shift=1)
    best = solve(easy(300, 0), easy(300, 1), ZEROS, turned, (1000.0, 1e-6))
    assert best.weight == 1e-6
    heavy = solve(easy(300, 0), easy(300, 1), ZEROS, turned, (1000.0,))
    assert heavy.score < best.score


def test_progress_is_told_after_each_solution():
    steps = []
    solve(easy(9, 0), easy(9, 1), ZEROS, easy(3, 2), (1.0, 0.1), step=lambda: steps.append(1))
    assert len(steps) == len(PENALTIES) + 1


def test_soft_labels_are_fitted_in_the_mean():
    points, labels = patches()
    soft = 0.5 * labels + 0.5 / 3
    assert torch.allclose(
        ridge(moments(points, soft), 0.1, ZEROS).weight,
        0.5 * ridge(moments(points, labels), 0.1, ZEROS).weight,
        atol=1e-5,
    )
    assert score_of(ridge(moments(points, soft), 0.1, ZEROS), (points, labels)) == pytest.approx(
        score_of(ridge(moments(points, labels), 0.1, ZEROS), (points, labels))
    )
