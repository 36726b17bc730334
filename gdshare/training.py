"""Training an ordinary network on real patches: the baseline of Ex. I (Li et al. 2020).

The source trains ResNet18 to convergence on 1,000, 2,000 or 3,000 random real patches of each
class. This needs the patches, so it runs inside one hospital, or in an experiment. A hospital with
few films may take help from others' distilled images (``gdshare.transfer``).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.cohort import Cohort, cohort_digest
from gdshare.dead_taps import Trim, drop_dead, find_trims, restore_dead, trim_network
from gdshare.distill.head import FEATURE_BATCH, Head, body_of
from gdshare.errors import CohortError
from gdshare.last_layer import PENALTIES, one_hot, score_of, solve
from gdshare.method import ONLY_HEAD
from gdshare.model import Model
from gdshare.networks import Parameters, build, draw, forward
from gdshare.patch_tensors import patch_accuracy, sample_patches
from gdshare.protocol import Protocol
from gdshare.seeding import derived_seed, torch_generator
from gdshare.training_folder import Best, Place, Snapshot, TrainingRecord, Use

VALIDATION_PER_CLASS = 300
"""Validation patches of each class and cohort, at most, that an epoch is scored on."""

MIX_WEIGHTS = (0.3, 0.1, 1.0)
"""Weights of others' images to try: the first at every learning rate, the others at the best."""


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

    Scattering has its last layer alone, which is solved at once (``gdshare.last_layer``): epochs,
    batch, rates and patience have no effect on it.
    """

    network: str = "resnet18"
    per_class: int = 1000
    epochs: int = 30
    batch: int = 64
    rates: tuple[float, ...] = (1e-3, 3e-4)
    patience: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Transfer:
    """What a training takes from other hospitals' distilled images.

    Attributes:
        use: whether weights start from ``start``, batches have the images, or both.
        start: weights of the network that the images teach.
        images: float32 [M, 1, side, side], normalised.
        labels: float32 [M, classes], soft.
        weights: of the images in the loss, where own patches count 1, to try: the first at every
            learning rate or penalty, the others at the best.
    """

    use: Use
    start: Parameters
    images: Tensor
    labels: Tensor
    weights: tuple[float, ...] = MIX_WEIGHTS

    @property
    def starts(self) -> bool:
        """Whether training starts from these weights."""
        return self.use != "mix"

    @property
    def mixes(self) -> bool:
        """Whether every batch has the images."""
        return self.use != "start"


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
        rate, epoch: Adam's learning rate and the epoch that reached it; epoch 0: the weights that
            others' images gave, which no epoch bettered. Of a last layer that is solved both are 0.
        penalty: of such a layer; None also where others' images gave it, and no penalty bettered
            it.
        weight: of others' images in the loss; 0 without them.
        others_score: patch score, on the same patches, of the network that others' images teach.
    """

    model: Model
    patches: int
    score: float
    rate: float
    epoch: int
    weight: float = 0.0
    others_score: float | None = None
    penalty: float | None = None


Checkpoint = Callable[[Callable[[], Snapshot] | None], None]
"""Called after every batch with a function that gives the state to go on from; with None where
there is none: it takes less than a minute from the beginning.
"""


def train_on_real(
    cohorts: Sequence[Cohort],
    plan: TrainingPlan,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    start: Snapshot | None = None,
    checkpoint: Checkpoint = lambda snapshot: None,
    transfer: Transfer | None = None,
) -> TrainedReal:
    """Train on real patches, choosing rate and epoch, or penalty, on validation patients.

    Weights that come from others' images count as an epoch, number 0: what is returned scores at
    least as well on the validation patches. Scattering's last layer is drawn towards them, the
    more, the heavier the penalty. On a CPU, equal cohorts, plan, transfer, torch release
    and thread count give equal bits, whether or not the training was interrupted and started again
    from a snapshot.

    Args:
        cohorts: one hospital's, or several pooled, which only an experiment can.
        plan: every setting.
        device: torch's name of where to compute.
        progress: called with (batches done, batches at most).
        start: to go on from; None: from the beginning.
        checkpoint: may keep the state, or end the training by an exception.
        transfer: what comes from others' images, of the plan's network and the cohorts' protocol.

    Raises:
        CohortError: no learning rate or weight to try, or a split has no patch of some class.
        UsageError: the cohorts' protocols differ, or the network cannot take their patches.
    """
    train = _to(sample_patches(cohorts, "train", plan.per_class, plan.seed), device)
    per_class = VALIDATION_PER_CLASS * len(cohorts)
    val = _to(sample_patches(cohorts, "val", per_class, plan.seed), device)
    if plan.network == ONLY_HEAD:
        return _solve_last_layer(
            cohorts[0].protocol, plan, train, val, transfer, progress, checkpoint
        )
    problem = _Problem.of(cohorts[0].protocol, plan, train, val, transfer)
    most, trials = problem.batches * plan.epochs, problem.trials
    finished = _Finished(None, {})
    if start is not None:
        finished = _Finished(start.place.overall, start.overall)
    for index in range(0 if start is None else start.place.trial, trials):

        def report(done: int, before: int = index * most) -> None:
            progress(before + done, most * trials)

        attempt = _Attempt(problem, index, finished, start)
        attempt.run(report, checkpoint)
        finished, start = finished.better_of(attempt), None
    progress(most * trials, most * trials)
    if finished.best is None:
        raise CohortError(
            "no learning rate or weight to try", remedy="give at least one in the training plan"
        )
    model = Model(plan.network, cohorts[0].protocol, (problem.whole_network(finished.weights),))
    best = finished.best
    return TrainedReal(
        model,
        len(train[1]),
        best.score,
        best.rate,
        best.epoch,
        best.weight,
        None if transfer is None else problem.score(drop_dead(transfer.start, problem.trims)),
    )


def _solve_last_layer(
    protocol: Protocol,
    plan: TrainingPlan,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    transfer: Transfer | None,
    progress: Callable[[int, int], None],
    checkpoint: Checkpoint,
) -> TrainedReal:
    """Every patch's features, then the last layer by least squares."""
    device = str(train[0].device)
    drawn = draw(plan.network, build(plan.network, protocol.side), torch.Generator())
    body = body_of(plan.network, protocol.side, _moved(drawn, device))
    mixes = transfer is not None and transfer.mixes
    weights = transfer.weights if transfer and mixes else (0.0,)
    batches = sum(-(-len(x) // FEATURE_BATCH) for x, _ in (train, val))  # rounded up
    total, count = batches + len(PENALTIES) + len(weights) - 1, itertools.count(1)

    def step() -> None:
        progress(next(count), total)
        checkpoint(None)

    def data(patches: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        parts = []
        for part in torch.split(patches[0], FEATURE_BATCH):
            parts.append(body.features_of(part))
            step()
        return torch.cat(parts), one_hot(patches[1])

    own, validation, prior, images, score = data(train), data(val), Head.zeros(body), None, None
    if transfer is not None:
        others = Head.of(body, _moved(transfer.start, device))
        score = score_of(others, validation)
        prior = others if transfer.starts else prior
        if transfer.mixes:
            x, labels = _to((transfer.images, transfer.labels), device)
            images = body.features_of(x), labels
    starts = transfer is not None and transfer.starts
    best = solve(own, validation, prior, images, weights, starts, step)
    kept = transfer is not None and best.penalty is None
    end = transfer.start if transfer and kept else _moved(best.head.network(), "cpu")
    model = Model(plan.network, protocol, (end,))
    return TrainedReal(
        model, len(train[1]), best.score, 0.0, 0, best.weight, score, penalty=best.penalty
    )


@dataclass(frozen=True)
class _Problem:
    """What is the same in every trial.

    Attributes:
        plan: every setting.
        module: the network, its convolutions with live taps only.
        trims: which taps those are.
        theta0: initial weights of the whole network.
        train, val: patches, float32 [n, 1, side, side], and classes, int64 [n].
        transfer: others' images, on the same device, and weights; None without them.
    """

    plan: TrainingPlan
    module: nn.Module
    trims: Mapping[str, Trim]
    theta0: Parameters
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    transfer: Transfer | None

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        plan: TrainingPlan,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        transfer: Transfer | None,
    ) -> Self:
        whole = build(plan.network, protocol.side)
        theta0 = draw(plan.network, whole, torch_generator(plan.seed, "real-theta0"))
        if transfer is not None:
            theta0 = transfer.start if transfer.starts else theta0
            pair = transfer.images, transfer.labels
            images, labels = _to(pair, str(train[0].device))
            transfer = replace(transfer, images=images, labels=labels)
        trims = find_trims(whole, protocol.side)
        return cls(plan, trim_network(whole, trims), trims, theta0, train, val, transfer)

    @property
    def _weights(self) -> tuple[float, ...]:
        """Of others' images, to try."""
        transfer = self.transfer
        return transfer.weights if transfer and transfer.mixes else (0.0,)

    @property
    def trials(self) -> int:
        """How many: every learning rate at the first weight, then every other weight."""
        rates, weights = len(self.plan.rates), len(self._weights)
        return rates + weights - 1 if rates and weights else 0

    def trial(self, index: int, best: Best | None) -> tuple[float, float]:
        """The learning rate and the weight of a trial; ``best``: of the trials before."""
        rates = self.plan.rates
        if best is None or index < len(rates):
            return rates[index], self._weights[0]
        return best.rate, self._weights[index - len(rates) + 1]

    @property
    def batches(self) -> int:
        """Of an epoch."""
        return -(-len(self.train[1]) // self.plan.batch)  # rounded up

    def shuffled(self, epoch: int) -> tuple[Tensor, ...]:
        """The rows of each batch of an epoch, int64."""
        shuffle = torch.Generator().manual_seed(derived_seed(self.plan.seed, "real-shuffle", epoch))
        order = torch.randperm(len(self.train[1]), generator=shuffle)
        return torch.split(order, self.plan.batch)

    def loss(self, theta: Parameters, rows: Tensor, weight: float) -> Tensor:
        """Cross entropy of own patches, and of others' images at their weight."""
        x, classes = (part[rows] for part in self.train)
        if not weight or self.transfer is None:
            return functional.cross_entropy(forward(self.module, theta, x), classes)
        logits = forward(self.module, theta, torch.cat([x, self.transfer.images]))
        own, others = logits[: len(x)], logits[len(x) :]
        images = functional.cross_entropy(others, self.transfer.labels)
        return functional.cross_entropy(own, classes) + weight * images

    def score(self, theta: Parameters) -> float:
        """Patch score on validation patients."""
        device = self.val[0].device
        on_device = {name: weight.to(device) for name, weight in theta.items()}
        return patch_accuracy(self.module, on_device, *self.val)

    def whole_network(self, live: Parameters) -> Parameters:
        """The weights of the whole network."""
        return restore_dead(live, self.theta0, self.trims)


@dataclass(frozen=True)
class _Finished:
    """The best epoch of the trials that ended, and its weights."""

    best: Best | None
    weights: Parameters

    def better_of(self, attempt: "_Attempt") -> "_Finished":
        if self.best is None or attempt.best.score > self.best.score:
            return _Finished(attempt.best, attempt.best_weights)
        return self


class _Attempt:
    """One trial: training at one learning rate. Weights and Adam's state change in place."""

    def __init__(
        self, problem: _Problem, index: int, finished: _Finished, start: Snapshot | None
    ) -> None:
        self._problem, self._index, self._finished = problem, index, finished
        self._epoch = self._batch = 0
        self._rate, self._weight = problem.trial(index, finished.best)
        initial = drop_dead(problem.theta0, problem.trims)
        self.best, self.best_weights = self._best(score=-1.0), initial
        if start is None and problem.transfer is not None and problem.transfer.starts:
            self.best = self._best(problem.score(initial))
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

    def _best(self, score: float) -> Best:
        return Best(score=score, epoch=self._epoch, rate=self._rate, weight=self._weight)

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
        self._optimiser.zero_grad()
        loss = self._problem.loss(self._theta, rows, self._weight)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def _score(self) -> None:
        score = self._problem.score(self._theta)
        if score > self.best.score:
            self.best = self._best(score)
            self.best_weights = _on_cpu(self._theta)

    def snapshot(self) -> Snapshot:
        """The state to go on from."""
        place = Place(
            trial=self._index,
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


def _moved(tensors: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _to(pair: tuple[Tensor, Tensor], device: str) -> tuple[Tensor, Tensor]:
    return pair[0].to(device), pair[1].to(device)
