"""The rivals: cells that train networks, and cells that show them the films.

A rival's cell keeps the networks of its rows in its folder (``Scene.keep``), and the rows in its
facts; any cell that does so can be set beside them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, Generic, Literal, TypeVar, cast

import torch
from flwr.serverapp.strategy import FedAvg, FedProx
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import Tensor, nn

from gdshare.audit.membership import membership, patient_losses
from gdshare.audit.nearest import nearest, patient_correlations
from gdshare.audit.patients import patients_of
from gdshare.audit.patients import sample_patches as sample_patients
from gdshare.cohort import Cohort
from gdshare.distill.problem import fixed_theta0
from gdshare.method import Method
from gdshare.model import Model
from gdshare.networks import Parameters, build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import numpy_generator, torch_generator
from studies.networks import Network
from studies.quality.networks import TRAINED, cohorts_of, show
from studies.rivals.fit import Data, Fit, Fitted, Score, after, fit, trajectory
from studies.rivals.heads import moments, ridge
from studies.rivals.images import Matching, all_features, matched, one_hot, soft_medoids
from studies.rivals.plan import Federated
from studies.rivals.rounds import aggregate, federate
from studies.runner import Piece, Result

FEDAVG = "fedavg"  # role: the rounds that chose rate and steps
ALONE = "each hospital alone"
REAL_PIXELS = "not releasable: real patches"
NOT_ATTACKED = "weights: not attacked"

How = TypeVar("How", bound=object)


@dataclass(frozen=True)
class Row:
    """A row of the table, in one fold."""

    title: str
    sends: int = 0  # bytes, of a hospital
    receives: int = 0  # bytes, of a hospital, the last model among them
    seconds: float = 0.0  # CPU-seconds at a hospital with the settings chosen, the mean
    rounds: int = 0  # exchanges
    audit: str = NOT_ATTACKED  # empty where another fold was attacked
    score: float = 0.0  # patch score on validation patients
    choice: dict[str, float] = field(default_factory=dict)  # what validation patients chose


Trained = tuple[Row, Sequence[Parameters]]  # one network, or one for each hospital


@dataclass(frozen=True)
class Work(Generic[How]):
    """The parameters of a rival's cell."""

    per_class: int
    validation: int
    patch_seed: int
    how: How  # its own part of the plan


@dataclass(frozen=True)
class Scene:
    """What every rival of a fold begins with."""

    piece: Piece
    work: Work[Any]
    cohorts: Sequence[Cohort]
    module: nn.Module
    theta0: Parameters

    @classmethod
    def of(cls, piece: Piece, work: Work[How]) -> "Scene":
        cohorts = cohorts_of(piece)
        module = build("convnet", cohorts[0].protocol.side)
        theta0 = fixed_theta0(Method(network="convnet", theta0="fixed"), module)
        return cls(piece, work, cohorts, module, theta0)

    @property
    def patients(self) -> list[int]:
        counts = [cohort.counts["train"] for cohort in self.cohorts]
        return [count.negative + count.positive for count in counts]

    def train(self) -> list[Data]:
        """Each hospital's real patches; together those of the baselines of ``studies.quality``."""
        count, seed = self.work.per_class, self.work.patch_seed
        sizes = [len(sample_patches([own], "train", count, seed)[1]) for own in self.cohorts]
        x, y = sample_patches(self.cohorts, "train", count * len(sizes), seed)
        return list(zip(torch.split(x, sizes), torch.split(y, sizes), strict=True))

    def validation(self) -> Data:
        return sample_patches(self.cohorts, "val", self.work.validation, self.work.patch_seed)

    def score(self, cohorts: Sequence[Cohort] = ()) -> Score:
        """Patch score on validation patients of all hospitals, or of some."""
        count, seed = self.work.validation, self.work.patch_seed
        x, classes = sample_patches(cohorts or self.cohorts, "val", count, seed)
        return lambda theta: patch_accuracy(self.module, theta, x, classes)

    def generator(self, purpose: str, index: int = 0) -> torch.Generator:
        return torch_generator(self.piece.seed, f"rivals-{purpose}", index)

    def keep(self, rows: Sequence[Trained]) -> Result:
        """Write every row's networks; the cell's result."""
        for place, (_, networks) in enumerate(rows):
            for site, weights in enumerate(networks):
                folder = network_folder(self.piece.folder, place, site)
                folder.mkdir(parents=True, exist_ok=True)
                Network(self.module, weights).write(folder)
        return Result({"rows": [asdict(row) for row, _ in rows]})


def network_folder(cell: Path, row: int, site: int) -> Path:
    return cell / f"network-{row}-{site}"


def rows_of(result: Result) -> list[Row]:
    return TypeAdapter(list[Row]).validate_python(result.facts["rows"])


def size(*tensors: Tensor) -> int:
    """Bytes on the wire: as safetensors, without a signature."""
    return len(save({str(place): own.contiguous() for place, own in enumerate(tensors)}))


def show_rows(piece: Piece, stride: int) -> Result:
    """The cell that shows every validation and test film to the networks of a rival's rows."""
    cohorts, trained = cohorts_of(piece), piece.needs[TRAINED]
    module = build("convnet", cohorts[0].protocol.side)
    rows = [
        [
            Network.read(folder, module)
            for site in range(len(cohorts))
            if (folder := network_folder(trained.folder, place, site)).exists()
        ]
        for place in range(len(rows_of(trained.result)))
    ]
    return show(piece, cohorts, stride, lambda site: [own[site % len(own)] for own in rows])


def alone(piece: Piece, work: Work[Fit]) -> Result:
    """Each hospital alone, and the mean of their networks, which all begin with the same θ0."""
    scene, seconds = Scene.of(piece, work), []
    ends: list[Fitted] = []
    for site, (cohort, data) in enumerate(zip(scene.cohorts, scene.train(), strict=True)):
        began, score = piece.clock(), scene.score([cohort])
        draws = partial(scene.generator, "alone", site)
        ends.append(fit(scene.module, scene.theta0, data, work.how, score, draws))
        seconds.append(piece.clock() - began)
    weights, cost = [end.weights for end in ends], mean(seconds)
    own = Row(ALONE, seconds=cost, score=mean(end.score for end in ends))
    average = aggregate(FedAvg(), 1, weights, scene.patients)
    sent = size(*average.values())
    shared = Row("one-shot average", sent, sent, cost, 1, score=scene.score()(average))
    return scene.keep([(own, weights), (shared, [average])])


def pooled(piece: Piece, work: Work[Fit]) -> Result:
    """All hospitals' real patches in one place."""
    scene = Scene.of(piece, work)
    data = scene.train()
    everything = _together(data)
    draws = partial(scene.generator, "pooled")
    end = fit(scene.module, scene.theta0, everything, work.how, scene.score(), draws)
    sends, receives = _mean_size(data), size(*end.weights.values())
    title = f"all real patches pooled ({len(everything[1])})"
    return scene.keep([(_images_row(title, sends, receives, 0.0, REAL_PIXELS, end), [end.weights])])


def fedavg(piece: Piece, work: Work[Federated]) -> Result:
    """FedAvg (McMahan et al. 2017)."""
    scene, how = Scene.of(piece, work), work.how
    grid = product(how.rates, how.steps)
    tried = [list(_sweep(scene, how, FedAvg(), rate, steps)) for rate, steps in grid]
    return scene.keep(_best_of_each_round(tried))


def fedprox(piece: Piece, work: Work[Federated]) -> Result:
    """FedProx (Li et al. 2020) with FedAvg's rate and steps of the most rounds."""
    scene, how = Scene.of(piece, work), work.how
    choice = rows_of(piece.needs[FEDAVG].result)[-1].choice
    rate, steps = choice["rate"], int(choice["steps"])
    strategies = [FedProx(proximal_mu=pull) for pull in how.pulls]
    tried = [list(_sweep(scene, how, strategy, rate, steps)) for strategy in strategies]
    return scene.keep(_best_of_each_round(tried))


def _best_of_each_round(tried: Sequence[Sequence[Trained]]) -> list[Trained]:
    columns = zip(*tried, strict=True)
    return [max(column, key=lambda trained: trained[0].score) for column in columns]


def _sweep(
    scene: Scene, how: Federated, strategy: FedAvg, rate: float, steps: int
) -> Iterator[Trained]:
    """The models after so many rounds as the plan has."""
    pull = strategy.proximal_mu if isinstance(strategy, FedProx) else 0.0
    data, score, clock, seconds = scene.train(), scene.score(), scene.piece.clock, list[float]()

    def local(theta: Parameters, site: int, number: int) -> Parameters:
        began, draws = clock(), scene.generator(f"local-{site}", number)
        walk = trajectory(scene.module, theta, data[site], rate, how.batch, draws, pull)
        end = after(walk, steps)
        seconds.append(clock() - began)
        return end

    models = federate(strategy, scene.theta0, local, scene.patients, max(how.rounds))
    choice = {"rate": rate, "steps": float(steps), "pull": pull}
    for rounds in how.rounds:
        model, spent = models[rounds - 1], sum(seconds[: rounds * len(data)]) / len(data)
        title = f"{type(strategy).__name__}, {rounds} round{'s' * (rounds > 1)}"
        sent = rounds * size(*model.values())
        row = Row(title, sent, sent, spent, rounds, score=score(model), choice=choice)
        yield row, [model]


def heads(piece: Piece, work: Work[tuple[float, ...]]) -> Result:
    """A linear layer on the frozen body θ0, by ridge regression on one-hot classes.

    Each hospital's is solved at home and their mean is taken; or each hospital sends the sums that
    the regression needs, and one is solved for all.
    """
    scene, sums, seconds = Scene.of(piece, work), list[Tensor](), []
    for x, classes in scene.train():
        began = piece.clock()
        points = all_features(scene.module, scene.theta0, x)
        sums.append(moments(points, classes))
        seconds.append(piece.clock() - began)
    x, classes = scene.validation()
    seen = all_features(scene.module, scene.theta0, x)
    last, names = cast("nn.Sequential", scene.module)[-1:], list(scene.theta0)[-2:]
    shares = [count / sum(scene.patients) for count in scene.patients]
    together = torch.stack([share * own for share, own in zip(shares, sums, strict=True)]).sum(0)

    def averaged(penalty: float) -> Parameters:
        ends = [ridge(own, penalty, names) for own in sums]
        return aggregate(FedAvg(), 1, ends, scene.patients)

    solved = partial(ridge, together, names=names)
    triangle = torch.empty(len(together) * (len(together) + 1) // 2)
    rows: list[Trained] = []
    for title, solve, sends, audit in (
        ("linear head, averaged", averaged, 0, NOT_ATTACKED),
        ("linear head, sums", solved, size(triangle), "sums: not attacked"),
    ):
        tried = {penalty: solve(penalty) for penalty in work.how}
        scores = {p: patch_accuracy(last, head, seen, classes) for p, head in tried.items()}
        best = max(scores, key=scores.__getitem__)
        received, choice = size(*tried[best].values()), {"penalty": best}
        sent, score = sends or received, scores[best]
        row = Row(title, sent, received, mean(seconds), 1, audit, score, choice)
        rows.append((row, [scene.theta0 | tried[best]]))
    return scene.keep(rows)


@dataclass(frozen=True)
class Sending:
    """Images that each hospital sends, from which a receiver trains."""

    kind: Literal["random", "medoids", "matched"]
    counts: tuple[int, ...]  # images of a hospital
    receiver: Fit
    matching: Matching | None = None
    attacked: bool = False


TITLES = {
    "random": "{} random real patches",
    "medoids": "{} medoids, soft labels",
    "matched": "{} images, distribution matching",
}


def send_images(piece: Piece, work: Work[Sending]) -> Result:
    scene, how, rows = Scene.of(piece, work), work.how, list[Trained]()
    made = [_images(scene, site, data, how) for site, data in enumerate(scene.train())]
    score = scene.score()
    for place, count in enumerate(how.counts):
        sets = [images[place] for images, _ in made]
        seconds = mean(spent[place] for _, spent in made)
        draws = partial(scene.generator, f"receiver-{how.kind}", count)
        end = fit(scene.module, scene.theta0, _together(sets), how.receiver, score, draws)
        audit = "" if how.kind == "matched" else REAL_PIXELS
        if how.attacked:
            audit = attack(scene, sets, end, how.receiver.batch)
        receives = size(*end.weights.values())
        title = TITLES[how.kind].format(count)
        row = _images_row(title, _mean_size(sets), receives, seconds, audit, end)
        rows.append((row, [end.weights]))
    return scene.keep(rows)


def _images(scene: Scene, site: int, data: Data, how: Sending) -> tuple[list[Data], list[float]]:
    """One hospital's set of every count, and the CPU-seconds of each."""
    (x, classes), clock, began = data, scene.piece.clock, scene.piece.clock()
    if how.matching:
        seed = scene.generator("matched", site).initial_seed()
        return matched(scene.module, data, how.counts, how.matching, seed)
    points = all_features(scene.module, scene.theta0, x) if how.kind == "medoids" else x[:0]
    shared, sets, seconds = clock() - began, list[Data](), list[float]()
    for count in how.counts:
        began, draws = clock(), scene.generator(f"{how.kind}-{count}", site)
        if how.kind == "medoids":
            sets.append(soft_medoids(points, data, count, draws))
        else:
            shuffled = torch.randperm(len(x), generator=draws)
            labels = one_hot(classes)
            firsts = [
                shuffled[classes[shuffled] == label][: count // labels.shape[1]]
                for label in range(labels.shape[1])
            ]
            rows = torch.cat(firsts)
            sets.append((x[rows], labels[rows]))
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
        for split in ("train", "test"):
            patients = sample_patients(patients_of(cohort, split), seed, f"rivals-{split}")
            losses.append(patient_losses(model, cohort, patients, "cpu", lambda done: None))
            own = patient_correlations(images[0].numpy(), patients, lambda done: None)
            correlations.append(own.patients)
        generator = numpy_generator(seed, "rivals-attack", site)
        member.append(f"{membership(losses[0], losses[1], generator).figure:.2f}")
        nearest_patch = nearest(correlations[0], correlations[1], generator)
        near.append(f"{nearest_patch.figure:.2f}")
        unrelated.append(f"{nearest_patch.unrelated:.2f}")
    return f"membership {' '.join(member)}; nearest {' '.join(near)} (test {' '.join(unrelated)})"


def _images_row(
    title: str, sends: int, receives: int, seconds: float, audit: str, end: Fitted
) -> Row:
    choice = {"rate": end.rate, "step": float(end.step)}
    return Row(title, sends, receives, seconds, 1, audit, end.score, choice)


def _mean_size(sets: Sequence[Data]) -> int:
    """Bytes that a hospital sends: images and labels, as a bundle has them."""
    labelled = [(x, y if y.is_floating_point() else one_hot(y)) for x, y in sets]
    return round(mean(size(*pair) for pair in labelled))


def _together(sets: Sequence[Data]) -> Data:
    return torch.cat([x for x, _ in sets]), torch.cat([y for _, y in sets])
