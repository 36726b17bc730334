"""Training an ordinary network on real patches: the baseline of Ex. I (Li et al. 2020).

The source trains ResNet18 to convergence on 1,000, 2,000 or 3,000 random real patches of each
class. This needs the patches, so it runs inside one hospital, or in an experiment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.cohort import Cohort, cohort_digest
from gdshare.dead_taps import Trim, drop_dead, find_trims, restore_dead, trim_network
from gdshare.errors import CohortError
from gdshare.model import Model
from gdshare.networks import Parameters, build, draw, forward
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.protocol import Protocol
from gdshare.seeding import derived_seed, torch_generator
from gdshare.training_folder import Best, Place, Snapshot, TrainingRecord

VALIDATION_PER_CLASS = 300
"""Validation patches of each class and cohort, at most, that an epoch is scored on."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train on real patches.

    Attributes:
        network: name in ``networks``; normalisation and initialiser are those of distillation.
        per_class: real patches of each class, drawn from the training patients of all cohorts.
        epochs: passes at most; the epoch with the best validation patch score is kept.
        batch: patches a step.
        rates: Adam's learning rates to try; the best on validation patients is kept.
        patience: epochs without a better validation score after which a rate is given up.
        seed: decides every draw.
    """

    network: str = "resnet18"
    per_class: int = 1000
    epochs: int = 30
    batch: int = 64
    rates: tuple[float, ...] = (1e-3, 3e-4)
    patience: int = 8
    seed: int = 0


def training_record(cohorts: Sequence[Cohort], plan: TrainingPlan, device: str) -> TrainingRecord:
    """What a training is started with, for ``open_training``."""
    return TrainingRecord(
        **asdict(plan),
        protocol=cohorts[0].protocol,
        cohorts=tuple(cohort_digest(cohort) for cohort in cohorts),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        device=device,
    )


def plan_of(record: TrainingRecord) -> TrainingPlan:
    """The plan of a training that is resumed."""
    return TrainingPlan(
        **{field.name: getattr(record, field.name) for field in fields(TrainingPlan)}
    )


@dataclass(frozen=True)
class TrainedReal:
    """A trained baseline.

    Attributes:
        model: one network.
        patches: real patches it was trained on.
        score: patch score on validation patients, in [0, 1].
        rate, epoch: Adam's learning rate and the epoch (from 1) that reached it.
    """

    model: Model
    patches: int
    score: float
    rate: float
    epoch: int


Checkpoint = Callable[[Callable[[], Snapshot]], None]
"""Called after every batch with a function that gives the state to go on from."""


def train_on_real(
    cohorts: Sequence[Cohort],
    plan: TrainingPlan,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    start: Snapshot | None = None,
    checkpoint: Checkpoint = lambda snapshot: None,
) -> TrainedReal:
    """Train on real patches, choosing learning rate and epoch on validation patients.

    On a CPU, equal cohorts, plan, torch release and thread count give equal bits, whether or not
    the training was interrupted and started again from a snapshot.

    Args:
        cohorts: one hospital's, or several pooled, which only an experiment can.
        plan: every setting.
        device: torch's name of where to compute.
        progress: called with (batches done, batches at most).
        start: to go on from; None: from the beginning.
        checkpoint: may keep the state, or end the training by an exception.

    Raises:
        CohortError: no learning rate to try, or a split has no patch of some class.
        UsageError: the cohorts' protocols differ, or the network cannot take their patches.
    """
    train = _to(sample_patches(cohorts, "train", plan.per_class, plan.seed), device)
    per_class = VALIDATION_PER_CLASS * len(cohorts)
    val = _to(sample_patches(cohorts, "val", per_class, plan.seed), device)
    problem = _Problem.of(cohorts[0].protocol, plan, train, val)
    most = problem.batches * plan.epochs
    finished = _Finished(None, {})
    if start is not None:
        finished = _Finished(start.place.overall, start.overall)
    for index in range(0 if start is None else start.place.rate, len(plan.rates)):

        def report(done: int, before: int = index * most) -> None:
            progress(before + done, most * len(plan.rates))

        attempt = _Attempt(problem, index, finished, start)
        attempt.run(report, checkpoint)
        finished, start = finished.better_of(attempt), None
    progress(most * len(plan.rates), most * len(plan.rates))
    if finished.best is None:
        raise CohortError(
            "no learning rate to try", remedy="give at least one in the training plan"
        )
    model = Model(plan.network, cohorts[0].protocol, (problem.whole_network(finished.weights),))
    best = finished.best
    return TrainedReal(model, len(train[1]), best.score, best.rate, best.epoch)


@dataclass(frozen=True)
class _Problem:
    """What is the same at every learning rate.

    Attributes:
        plan: every setting.
        module: the network, its convolutions with live taps only.
        trims: which taps those are.
        theta0: initial weights of the whole network.
        train, val: patches, float32 [n, 1, side, side], and classes, int64 [n].
    """

    plan: TrainingPlan
    module: nn.Module
    trims: Mapping[str, Trim]
    theta0: Parameters
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        plan: TrainingPlan,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
    ) -> Self:
        whole = build(plan.network, protocol.side)
        theta0 = draw(plan.network, whole, torch_generator(plan.seed, "real-theta0"))
        trims = find_trims(whole, protocol.side)
        return cls(plan, trim_network(whole, trims), trims, theta0, train, val)

    @property
    def batches(self) -> int:
        """Of an epoch."""
        return -(-len(self.train[1]) // self.plan.batch)  # rounded up

    def shuffled(self, epoch: int) -> tuple[Tensor, ...]:
        """The rows of each batch of an epoch, int64."""
        shuffle = torch.Generator().manual_seed(derived_seed(self.plan.seed, "real-shuffle", epoch))
        order = torch.randperm(len(self.train[1]), generator=shuffle)
        return torch.split(order, self.plan.batch)

    def whole_network(self, live: Parameters) -> Parameters:
        """The weights of the whole network."""
        return restore_dead(live, self.theta0, self.trims)


@dataclass(frozen=True)
class _Finished:
    """The best epoch of the learning rates that were tried, and its weights."""

    best: Best | None
    weights: Parameters

    def better_of(self, attempt: "_Attempt") -> "_Finished":
        if self.best is None or attempt.best.score > self.best.score:
            return _Finished(attempt.best, attempt.best_weights)
        return self


class _Attempt:
    """Training at one learning rate. Weights and Adam's state change in place."""

    def __init__(
        self, problem: _Problem, index: int, finished: _Finished, start: Snapshot | None
    ) -> None:
        self._problem, self._index, self._finished = problem, index, finished
        initial = drop_dead(problem.theta0, problem.trims)
        self.best, self.best_weights = Best(score=-1.0, epoch=0, rate=self._rate), initial
        self._epoch = self._batch = 0
        if start is not None:
            self.best, self.best_weights, initial = start.place.best, start.best, start.weights
            self._epoch, self._batch = start.place.epoch, start.place.batch
        device = problem.train[0].device
        self._theta = {name: w.to(device).clone().requires_grad_() for name, w in initial.items()}
        self._optimiser = torch.optim.Adam(self._theta.values(), lr=self._rate, fused=True)
        for name, moments in ({} if start is None else start.moments).items():
            self._optimiser.state[self._theta[name]] = {
                key: moment.to(device).clone() for key, moment in moments.items()
            }

    @property
    def _rate(self) -> float:
        return self._problem.plan.rates[self._index]

    def run(self, report: Callable[[int], None], checkpoint: Checkpoint) -> None:
        """Train until the last epoch, or until the score stops rising."""
        plan = self._problem.plan
        while self._epoch < plan.epochs:
            rows = self._problem.shuffled(self._epoch + 1)
            while self._batch < len(rows):
                self._step(rows[self._batch])
                self._batch += 1
                report(self._epoch * len(rows) + self._batch)
                checkpoint(self.snapshot)
            self._epoch, self._batch = self._epoch + 1, 0
            self._score()
            if self._epoch - self.best.epoch >= plan.patience:
                return

    def _step(self, rows: Tensor) -> None:
        x, y = (part[rows] for part in self._problem.train)
        self._optimiser.zero_grad()
        loss = functional.cross_entropy(forward(self._problem.module, self._theta, x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def _score(self) -> None:
        score = patch_accuracy(self._problem.module, self._theta, *self._problem.val)
        if score > self.best.score:
            self.best = Best(score=score, epoch=self._epoch, rate=self._rate)
            self.best_weights = _on_cpu(self._theta)

    def snapshot(self) -> Snapshot:
        """The state to go on from."""
        place = Place(
            rate=self._index,
            epoch=self._epoch,
            batch=self._batch,
            best=self.best,
            overall=self._finished.best,
        )
        moments = {name: self._optimiser.state[w] for name, w in self._theta.items()}
        return Snapshot(
            place,
            _on_cpu(self._theta),
            {name: _on_cpu(values) for name, values in moments.items()},
            self.best_weights,
            self._finished.weights,
        )


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _to(pair: tuple[Tensor, Tensor], device: str) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)
