"""The rivals that send images, their own patients' or made ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Literal

import torch
from torch import Tensor

from gdshare.audit.membership import membership, patient_losses
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.patients import patients_of, sample_patches
from gdshare.cohort import Split
from gdshare.distill.head import Head
from gdshare.last_layer import PENALTIES, moments, one_hot, ridge, solve
from gdshare.model import Model
from gdshare.networks import Parameters
from gdshare.seeding import numpy_generator
from studies.rivals.cells import Row, Scene, Trained, Work, size
from studies.rivals.fit import Data, Fit, after, fit, trajectory
from studies.rivals.images import Matching, all_features, drawn, matched, soft_medoids
from studies.runner import Piece, Result

REAL_PIXELS = "not releasable: real patches"
TITLES = {
    "all": "all real patches pooled",
    "random": "{} random real patches",
    "medoids": "{} medoids, soft labels",
    "matched": "{} images, distribution matching",
}
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class Sending:
    """Images that each hospital sends, from which a receiver trains."""

    kind: Literal["all", "random", "medoids", "matched"]
    counts: tuple[int, ...]  # images of a hospital
    receiver: Fit | None  # how a ConvNet is trained from them; None: scattering's last layer
    matching: Matching | None = None
    attacked: bool = False

    @property
    def network(self) -> str:
        return "convnet" if self.receiver else "scattering"


@dataclass(frozen=True)
class Received:
    """What a receiver makes of all hospitals' images."""

    weights: Parameters
    score: float  # patch score on validation patients
    choice: dict[str, float]
    again: Callable[[Data, int], Parameters]  # the same of one hospital's images alone, for attacks


def send_images(piece: Piece, work: Work) -> Result:
    """A row for every count of images; its network is trained on all hospitals' together."""
    how: Sending = work.how
    scene, rows = Scene.of(piece, work, how.network), list[Trained]()
    sent = [_images(scene, site, data, how) for site, data in enumerate(scene.train())]
    for place, count in enumerate(how.counts):
        sets = [images[place] for images, _ in sent]
        together = torch.cat([x for x, _ in sets]), torch.cat([labels for _, labels in sets])
        if how.receiver:
            own = _train(scene, how.receiver, f"receiver-{how.kind}", count, together)
        else:
            own = _solve(scene, together)
        audit = "" if how.kind == "matched" else REAL_PIXELS
        if how.attacked:
            audit = attack(scene, [x for x, _ in sets], [partial(own.again, s) for s in sets])
        sends, receives = mean(size(*images) for images in sets), size(*own.weights.values())
        seconds = mean(spent[place] for _, spent in sent)
        title = TITLES[how.kind].format(count) + ", scattering" * (how.network == "scattering")
        row = Row(title, round(sends), receives, seconds, 1, audit, own.score, own.choice)
        rows.append((replace(row, network=how.network), [own.weights]))
    return scene.keep(rows)


def _train(scene: Scene, plan: Fit, purpose: str, count: int, images: Data) -> Received:
    draws = partial(scene.generator, purpose, count)
    end = fit(scene.module, scene.theta0, images, plan, scene.score(), draws)

    def again(own: Data, site: int) -> Parameters:
        generator = scene.generator("attack", site)
        walk = trajectory(scene.module, scene.theta0, own, end.rate, plan.batch, generator)
        return after(walk, end.step)

    choice = {"rate": end.rate, "step": float(end.step)}
    return Received(end.weights, end.score, choice, again)


def _solve(scene: Scene, images: Data) -> Received:
    body = scene.body
    zeros, (x, classes) = Head.zeros(body), scene.validation()
    seen = body.features_of(x), one_hot(classes)
    best = solve((body.features_of(images[0]), images[1]), seen, zeros)
    penalty = best.penalty or PENALTIES[0]

    def again(own: Data, site: int) -> Parameters:
        return ridge(moments(body.features_of(own[0]), own[1]), penalty, zeros).network()

    return Received(best.head.network(), best.score, {"penalty": penalty}, again)


def _images(scene: Scene, site: int, data: Data, how: Sending) -> tuple[list[Data], list[float]]:
    """One hospital's set of every count, and the CPU-seconds of each."""
    (x, classes), clock = data, scene.piece.clock
    if how.matching:
        seed = scene.generator("matched", site).initial_seed()
        return matched(scene.network, scene.module, data, how.counts, how.matching, seed)
    began = clock()
    points = all_features(scene.module, scene.theta0, x) if how.kind == "medoids" else x
    shared, sets, seconds = clock() - began, list[Data](), list[float]()
    for count in how.counts:
        began, draws = clock(), scene.generator(f"{how.kind}-{count}", site)
        if how.kind == "all":
            sets.append((x, one_hot(classes)))
        elif how.kind == "random":
            sets.append(drawn(data, count, draws))
        else:
            sets.append(soft_medoids(points, data, count, draws))
        seconds.append(shared + clock() - began)
    return sets, seconds


def attack(
    scene: Scene, images: Sequence[Tensor], train: Sequence[Callable[[int], Parameters]]
) -> str:
    """The attacks of ``gdshare.audit`` on every hospital's images: their figures, in words.

    The network attacked is what a receiver makes of one hospital's images alone.
    """
    member, near, unrelated = list[str](), list[str](), list[str]()
    for site, (cohort, own, make) in enumerate(zip(scene.cohorts, images, train, strict=True)):
        seed, model = scene.piece.seed, Model(scene.network, cohort.protocol, (make(site),))
        losses, correlations = [], []
        for split in SPLITS:
            patients = patients_of(cohort, split)
            some = sample_patches(patients, seed, f"rivals-{split}")
            losses.append(patient_losses(model, cohort, some, "cpu", lambda done: None))
            correlated = patient_correlations(own.numpy(), patients, lambda done: None)
            correlations.append(correlated.patients)
        generator = numpy_generator(seed, "rivals-attack", site)
        member.append(f"{membership(losses[0], losses[1], generator).figure:.2f}")
        nearest_patch = nearest(correlations[0], correlations[1], generator)
        near.append(f"{nearest_patch.figure:.2f}")
        unrelated.append(f"{nearest_patch.unrelated:.2f}")
    return f"membership {' '.join(member)}; nearest {' '.join(near)} (test {' '.join(unrelated)})"
