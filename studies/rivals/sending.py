"""The rivals that send images, their own patients' or made ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Literal

import torch

from gdshare.audit.membership import membership, patient_losses
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.patients import patients_of, sample_patches
from gdshare.cohort import Split
from gdshare.model import Model
from gdshare.seeding import numpy_generator
from studies.rivals.cells import Row, Scene, Trained, Work, size
from studies.rivals.fit import Data, Fit, Fitted, after, fit, trajectory
from studies.rivals.images import Matching, all_features, drawn, matched, one_hot, soft_medoids
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
    receiver: Fit
    matching: Matching | None = None
    attacked: bool = False


def send_images(piece: Piece, work: Work) -> Result:
    """A row for every count of images; its network is trained on all hospitals' together."""
    scene, rows, score = Scene.of(piece, work), list[Trained](), Scene.of(piece, work).score()
    how: Sending = work.how
    sent = [_images(scene, site, data, how) for site, data in enumerate(scene.train())]
    for place, count in enumerate(how.counts):
        sets = [images[place] for images, _ in sent]
        together = torch.cat([x for x, _ in sets]), torch.cat([labels for _, labels in sets])
        draws = partial(scene.generator, f"receiver-{how.kind}", count)
        end = fit(scene.module, scene.theta0, together, how.receiver, score, draws)
        audit = "" if how.kind == "matched" else REAL_PIXELS
        if how.attacked:
            audit = attack(scene, sets, end, how.receiver.batch)
        sends, receives = mean(size(*images) for images in sets), size(*end.weights.values())
        seconds = mean(spent[place] for _, spent in sent)
        choice, title = {"rate": end.rate, "step": float(end.step)}, TITLES[how.kind].format(count)
        row = Row(title, round(sends), receives, seconds, 1, audit, end.score, choice)
        rows.append((row, [end.weights]))
    return scene.keep(rows)


def _images(scene: Scene, site: int, data: Data, how: Sending) -> tuple[list[Data], list[float]]:
    """One hospital's set of every count, and the CPU-seconds of each."""
    (x, classes), clock = data, scene.piece.clock
    if how.matching:
        seed = scene.generator("matched", site).initial_seed()
        return matched(scene.module, data, how.counts, how.matching, seed)
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


def attack(scene: Scene, sets: Sequence[Data], end: Fitted, batch: int) -> str:
    """The attacks of ``gdshare.audit`` on every hospital's images: their figures, in words.

    The network attacked is trained as the receiver's was, on one hospital's images alone.
    """
    member, near, unrelated = list[str](), list[str](), list[str]()
    for site, (cohort, images) in enumerate(zip(scene.cohorts, sets, strict=True)):
        seed, draws = scene.piece.seed, scene.generator("attack", site)
        walk = trajectory(scene.module, scene.theta0, images, end.rate, batch, draws)
        model = Model("convnet", cohort.protocol, (after(walk, end.step),))
        losses, correlations = [], []
        for split in SPLITS:
            patients = patients_of(cohort, split)
            some = sample_patches(patients, seed, f"rivals-{split}")
            losses.append(patient_losses(model, cohort, some, "cpu", lambda done: None))
            own = patient_correlations(images[0].numpy(), patients, lambda done: None)
            correlations.append(own.patients)
        generator = numpy_generator(seed, "rivals-attack", site)
        member.append(f"{membership(losses[0], losses[1], generator).figure:.2f}")
        nearest_patch = nearest(correlations[0], correlations[1], generator)
        near.append(f"{nearest_patch.figure:.2f}")
        unrelated.append(f"{nearest_patch.unrelated:.2f}")
    return f"membership {' '.join(member)}; nearest {' '.join(near)} (test {' '.join(unrelated)})"
