"""The rivals that send weights, and what all rivals' cells have in common.

A rival's cell keeps the networks of its rows in its folder (``Scene.keep``), and the rows in its
facts; any cell that does so can be set beside them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from flwr.serverapp.strategy import FedAvg, FedProx
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import Tensor, nn

from gdshare.cohort import Cohort
from gdshare.distill.head import Body, Head, body_of
from gdshare.last_layer import PENALTIES, Solved, moments, one_hot, ridge, score_of
from gdshare.method import Method
from gdshare.networks import Parameters, build
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.seeding import torch_generator
from gdshare.theta0 import announced_theta0
from studies.networks import Network
from studies.quality.networks import TRAINED, cohorts_of, show
from studies.quality.plan import NETWORKS
from studies.rivals.fit import Data, Fitted, Score, after, fit, trajectory
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
    network: str
    module: nn.Module
    theta0: Parameters

    @classmethod
    def of(cls, piece: Piece, work: Work, network: str = "convnet") -> "Scene":
        cohorts = cohorts_of(piece)
        module = build(network, cohorts[0].protocol.side)
        method = Method.model_validate({"network": network, "theta0": "announced"})
        return cls(piece, work, cohorts, network, module, announced_theta0(method, module))

    @property
    def body(self) -> Body:
        return body_of(self.network, self.cohorts[0].protocol.side, self.theta0)

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
    """A last layer on a network's body at θ0, by ridge regression on one-hot classes.

    Each hospital alone; the mean of their layers; or each hospital sends the sums that the
    regression needs, and one layer is solved for all.
    """
    network: str = work.how
    scene = Scene.of(piece, work, network)
    body, patients = scene.body, scene.patients

    def data(patches: Data) -> Data:
        return body.features_of(patches[0]), one_hot(patches[1])

    began, zeros = piece.clock(), Head.zeros(body)
    sums = [moments(*data(patches)) for patches in scene.train()]
    solved = [{penalty: ridge(own, penalty, zeros) for penalty in PENALTIES} for own in sums]
    cost = (piece.clock() - began) / len(sums)
    shares = torch.tensor(patients).double() / sum(patients)
    together = torch.einsum("h,hij->ij", shares, torch.stack(sums))
    averages = {
        penalty: _average([own[penalty] for own in solved], patients) for penalty in PENALTIES
    }
    everyone = data(scene.validation())
    homes = [data(scene.validation([cohort])) for cohort in scene.cohorts]
    alone = [_best(own, seen) for own, seen in zip(solved, homes, strict=True)]
    averaged = _best(averages, everyone)
    common = _best({p: ridge(together, p, zeros) for p in PENALTIES}, everyone)
    layer = size(zeros.weight, zeros.bias)
    triangle = size(torch.empty(len(together) * (len(together) + 1) // 2))
    title = f"linear head on {NETWORKS[network]}"
    row = partial(Row, seconds=cost, network=network)
    return scene.keep(
        [
            (
                row(f"{ALONE}, {title}", score=mean(own.score for own in alone)),
                [own.head.network() for own in alone],
            ),
            _shared(row(f"{title}, averaged", layer, layer, rounds=1), averaged),
            _shared(
                row(f"{title}, sums", triangle, layer, rounds=1, audit="sums: not attacked"), common
            ),
        ]
    )


def _average(ends: Sequence[Head], patients: Sequence[int]) -> Head:
    layers: list[Parameters] = [{"weight": own.weight, "bias": own.bias} for own in ends]
    mean_of = aggregate(FedAvg(), 1, layers, patients)
    return replace(ends[0], weight=mean_of["weight"], bias=mean_of["bias"])


def _best(heads: Mapping[float, Head], seen: Data) -> Solved:
    """The head of best score on validation patches, of several penalties."""
    solved = [Solved(own, score_of(own, seen), penalty, 0.0) for penalty, own in heads.items()]
    return max(solved, key=lambda own: own.score)


def _shared(row: Row, solved: Solved) -> Trained:
    """A row whose network is the same for all hospitals."""
    choice = {"penalty": solved.penalty or 0.0}
    return replace(row, score=solved.score, choice=choice), [solved.head.network()]
