from itertools import islice

import pytest
import torch
from flwr.serverapp.strategy import FedAvg

from gdshare.last_layer import one_hot
from gdshare.networks import build, draw
from gdshare.seeding import torch_generator
from studies.rivals.fit import Fit, after, fit, trajectory
from studies.rivals.images import Matching, features, matched, medoids, soft_medoids
from studies.rivals.rounds import aggregate, federate

SIDE = 8


@pytest.fixture(scope="module")
def module():
    return build("convnet", SIDE)


@pytest.fixture(scope="module")
def theta0(module):
    return draw("convnet", module, torch_generator(0, "theta0"))


def patches(count=30, seed=0):
    """Each class is a pattern of its own, and noise."""
    patterns = torch.randn(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    noise = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    classes = torch.arange(count) % 3
    return 2 * patterns[classes] + 0.5 * noise, classes


def distance(theta, other):
    return sum(float(((theta[name] - other[name]) ** 2).sum()) for name in other)


def test_an_aggregate_counts_each_hospital_as_its_patients():
    ends = [{"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 0.0])}]
    mean = aggregate(FedAvg(), 1, ends, [3, 1])["w"]
    assert mean.tolist() == [2.0, 3.0]


def test_each_round_goes_on_from_the_aggregate_of_the_last():
    def local(theta, site, number):
        return {"w": theta["w"] + 1 + 2 * site + 10 * number}

    models = federate(FedAvg(), {"w": torch.zeros(1)}, local, [1, 1], 2)
    assert [float(model["w"]) for model in models] == [2.0, 14.0]


def test_fedprox_stays_nearer_to_where_the_round_began(module, theta0):
    def end(pull):
        generator = torch.Generator().manual_seed(1)
        return after(trajectory(module, theta0, patches(), 1e-2, 10, generator, pull), 12)

    assert distance(end(1.0), theta0) < 0.9 * distance(end(0.0), theta0)


def test_a_fit_keeps_the_step_of_best_score_and_gives_a_rate_up(module, theta0):
    scores = iter([0.3, 0.5, 0.4, 0.1, 0.2, 0.45, 0.4, 0.1])
    plan = Fit(rates=(1e-2, 1e-3), steps=100, every=2, patience=2, batch=10)
    generators = lambda: torch.Generator().manual_seed(1)  # noqa: E731
    best = fit(module, theta0, patches(), plan, lambda theta: next(scores), generators)
    assert (best.score, best.rate, best.step) == (0.5, 1e-2, 4)
    assert next(scores, None) is None  # each rate: two scores after its best
    again = trajectory(module, theta0, patches(), 1e-2, 10, generators())
    assert distance(after(again, 4), best.weights) == 0
    assert distance(theta0, draw("convnet", module, torch_generator(0, "theta0"))) == 0


def test_medoids_are_points_of_the_clusters_that_there_are():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    noise = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    points = centres.repeat_interleave(20, 0) + noise
    rows, owner = medoids(points, 3, torch.Generator().manual_seed(2))
    assert sorted((rows // 20).tolist()) == [0, 1, 2]
    assert all(len(set(owner[at : at + 20].tolist())) == 1 for at in (0, 20, 40))
    for cluster, row in enumerate(rows.tolist()):
        own = points[owner == cluster]
        costs = torch.cdist(own, own).sum(1)
        assert torch.cdist(points[row : row + 1], own).sum() == pytest.approx(float(costs.min()))


def test_medoids_of_points_that_lie_on_one_another_are_still_as_many_rows():
    rows, _ = medoids(torch.zeros(5, 2), 3, torch.Generator().manual_seed(0))
    assert len(set(rows.tolist())) == 3


def test_a_medoid_has_the_mean_label_of_its_cluster():
    points = torch.tensor([[0.0], [0.1], [0.2], [9.0], [9.1]])
    x, classes = torch.arange(5.0).view(5, 1, 1, 1), torch.tensor([0, 0, 1, 2, 2])
    images, labels = soft_medoids(points, (x, classes), 2, torch.Generator().manual_seed(0))
    by_image = {float(image): label.tolist() for image, label in zip(images, labels, strict=True)}
    assert by_image[1.0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert [0, 0, 1] in by_image.values()


def test_matched_images_come_nearer_to_the_real_mean_features_than_noise(module):
    x, classes = patches(seed=1)

    def gap(images):
        total = 0.0
        for number in range(5):
            theta = draw("convnet", module, torch_generator(number, "unseen"))
            real = torch.stack([features(module, theta, x[classes == k]).mean(0) for k in range(3)])
            seen = features(module, theta, images).view(3, -1, real.shape[1]).mean(1)
            total += float(((seen - real) ** 2).sum())
        return total

    noise, found = (
        matched("convnet", module, patches(), (3, 6), Matching(n, 10), 0)[0] for n in (0, 40)
    )
    for (before, _), (images, labels) in zip(noise, found, strict=True):
        assert gap(images) < 0.95 * gap(before)
        assert labels.argmax(1).tolist() == sorted([0, 1, 2] * (len(images) // 3))


def test_a_trajectory_takes_soft_labels_and_sees_every_image_in_an_epoch(module, theta0):
    x, classes = patches(9)
    ends = [
        after(trajectory(module, theta0, (x, y), 1e-3, 4, torch.Generator().manual_seed(0)), 5)
        for y in (classes, one_hot(classes))
    ]
    assert distance(*ends) == pytest.approx(0, abs=1e-6)
    assert (
        len(list(islice(trajectory(module, theta0, (x, classes), 1e-3, 4, torch.Generator()), 7)))
        == 7
    )
