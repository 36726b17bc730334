"""The rivals that send weights, and what all rivals' cells have in common.

A rival's cell keeps the networks of its rows in its folder (``Scene.keep``), and the rows in its
facts; any cell that does so can be set beside them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, cast

import torch
from flwr.serverapp.strategy import FedAvg, FedProx
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import Tensor, nn

from gdshare.cohort import Cohort
from gdshare.distill.problem import announced_theta0
from gdshare.method import Method
from gdshare.networks import Parameters, build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import torch_generator
from studies.networks import Network
from studies.quality.networks import TRAINED, cohorts_of, show
from studies.rivals.fit import Data, Fitted, Score, after, fit, trajectory
from studies.rivals.heads import moments, ridge
from studies.rivals.images import all_features
from studies.rivals.plan import Federated
from studies.rivals.rounds import aggregate, federate
from studies.runner import Piece, Result

FEDAVG = "fedavg"  # role: the rounds that chose rate and steps
ALONE = "each hospital alone"
NOT_ATTACKED = "weights: not attacked"


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
    network: str = "convnet"  # what its weights are of


Trained = tuple[Row, Sequence[Parameters]]  # one network, or one for each hospital


@dataclass(frozen=True)
class Work:
    """The parameters of a rival's cell."""

    per_class: int
    validation: int
    patch_seed: int
    how: Any  # the rival's own part of the plan


@dataclass(frozen=True)
class Scene:
    """What every rival of a fold begins with."""

    piece: Piece
    work: Work
    cohorts: Sequence[Cohort]
    module: nn.Module
    theta0: Parameters

    @classmethod
    def of(cls, piece: Piece, work: Work) -> "Scene":
        cohorts = cohorts_of(piece)
        module = build("convnet", cohorts[0].protocol.side)
        theta0 = announced_theta0(Method(network="convnet", theta0="announced"), module)
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

    def validation(self, cohorts: Sequence[Cohort] = ()) -> Data:
        """Patches of validation patients of all hospitals, or of some."""
        count, seed = self.work.validation, self.work.patch_seed
        return sample_patches(cohorts or self.cohorts, "val", count, seed)

    def score(self, cohorts: Sequence[Cohort] = ()) -> Score:
        """Patch score on them."""
        x, classes = self.validation(cohorts)
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
    rows = [
        [
            Network.read(folder, build(row.network, cohorts[0].protocol.side))
            for site in range(len(cohorts))
            if (folder := network_folder(trained.folder, place, site)).exists()
        ]
        for place, row in enumerate(rows_of(trained.result))
    ]
    return show(piece, cohorts, stride, lambda site: [own[site % len(own)] for own in rows])


def alone(piece: Piece, work: Work) -> Result:
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


def fedavg(piece: Piece, work: Work) -> Result:
    """FedAvg (McMahan et al. 2017)."""
    scene, how = Scene.of(piece, work), work.how
    grid = product(how.rates, how.steps)
    tried = [list(_sweep(scene, how, FedAvg(), rate, steps)) for rate, steps in grid]
    return scene.keep(_best_of_each_round(tried))


def fedprox(piece: Piece, work: Work) -> Result:
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


def heads(piece: Piece, work: Work) -> Result:
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
