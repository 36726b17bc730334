"""What stays the same through a run: patches, network, and each draw as a function of a counter."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gdshare.cohort import Cohort, Patches, cohort_digest
from gdshare.distill.chain.network import Chain, chain_of
from gdshare.distill.head import FEATURE_BATCH, Body, Head, body_of
from gdshare.distill.precision import FACTORS
from gdshare.errors import CohortError
from gdshare.method import Counts, RunRecord, Settings
from gdshare.networks import INITIALISERS, Parameters, build, digest, draw, require_device
from gdshare.patch_tensors import as_tensors
from gdshare.protocol import Protocol
from gdshare.seeding import (
    balanced_rows,
    missing_classes,
    numpy_generator,
    scoring_rows,
    torch_generator,
)
from gdshare.theta0 import announced_theta0


@dataclass(frozen=True)
class Draw:
    """A random θ0 and minibatch: a training step averages over one or more of them.

    Attributes:
        theta0: initial weights; of the last layer alone, if only that is trained.
        real: a minibatch, (float32 [K, 1, side, side] normalised, int64 [K]); or instead of the
            patches their conditioned features, float32 [K, F].
        stop: inner steps to take; fewer than all only with a random window.
    """

    theta0: Parameters | Head
    real: tuple[Tensor, Tensor]
    stop: int


@dataclass(frozen=True)
class Features:
    """What the head of a run is trained and scored on.

    Attributes:
        body: frozen.
        train: conditioned features float32 [n, F] of training windows.
        classes: int64 [n], theirs.
        rows: for each class, int64 indices of its training windows among these.
        scoring: conditioned features of the validation windows that scores are taken on.
    """

    body: Body
    train: Tensor
    classes: Tensor
    rows: list[npt.NDArray[np.int64]]
    scoring: Tensor


@dataclass(frozen=True)
class Problem:
    """What stays the same through a run.

    Attributes:
        protocol: of the patches.
        settings: of the run.
        device: where derivatives and scores are computed.
        module, chain: the network, for values and for derivatives; no chain if only the head is
            trained.
        train: training windows.
        rows: for each class, int64 indices of its training windows.
        scoring: validation windows that scores are taken on, as tensors.
        features: of the patches, if only the head is trained; None if all weights are trained.
        fixed: the same draw at every training step, if L-BFGS is to see one loss.
        shared: the weights of a shared model, if they are the announced θ0.
    """

    protocol: Protocol
    settings: Settings
    device: torch.device
    module: nn.Module
    chain: Chain | None
    train: Patches
    rows: list[npt.NDArray[np.int64]]
    scoring: tuple[Tensor, Tensor]
    features: Features | None = None
    fixed: Draw | None = None
    shared: Parameters | None = None

    def draw(self, step: int, number: int) -> Draw:
        """Draw ``number`` of a training step."""
        if self.fixed is not None:
            return self.fixed
        settings = self.settings
        index = step * settings.draws + number
        generator = numpy_generator(settings.seed, "minibatch", index)
        if self.features is not None:
            rows = torch.from_numpy(balanced_rows(self.features.rows, settings.batch, generator))
            real = self.features.train[rows], self.features.classes[rows]
            return Draw(Head.zeros(self.features.body), real, self._stop(index))
        x, y = self.patches(self.train, balanced_rows(self.rows, settings.batch, generator))
        if settings.augment == "mirror" and self._random_integer("mirror", index, 0, 1):
            x = x.flip(-1)
        return Draw(self.theta0("theta0", index), (x, y), self._stop(index))

    def _stop(self, index: int) -> int:
        settings = self.settings
        if settings.unroll == "window":
            return self._random_integer("stop", index, settings.reach, settings.trajectory)
        return settings.trajectory

    def theta0(self, purpose: str, index: int) -> Parameters:
        """Initial weights for one use: fresh, or the announced ones."""
        settings = self.settings
        if settings.theta0 == "announced":
            weights = announced_theta0(settings, self.module, self.shared)
        else:
            generator = torch_generator(settings.seed, purpose, index)
            weights = draw(settings.network, self.module, generator)
        return {name: weight.to(self.device) for name, weight in weights.items()}

    def inits(self) -> range:
        """Which θ0 a score is the mean over; an announced θ0 is the only one."""
        return range(1 if self.settings.theta0 == "announced" else self.settings.score_inits)

    def patches(self, source: Patches, rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Windows on the device: float32 [n, 1, side, side] normalised, and int64 [n]."""
        x, y = as_tensors(source, rows, self.protocol)
        return x.to(self.device), y.to(self.device)

    @property
    def theta0_sha256(self) -> str | None:
        """Digest of the announced θ0; None if there is none."""
        announced = self.settings.theta0 == "announced"
        return digest(self.theta0("theta0", 0)) if announced else None

    def _random_integer(self, purpose: str, index: int, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return int(numpy_generator(self.settings.seed, purpose, index).integers(low, high + 1))


def run_record(problem: Problem, cohort: Cohort) -> RunRecord:
    """The content of ``run.json``.

    Args:
        problem: prepared from the cohort.
        cohort: its counts and digest are recorded.
    """
    counts = cohort.counts["train"]
    return RunRecord(
        settings=problem.settings,
        protocol=problem.protocol,
        initialiser=INITIALISERS[problem.settings.network],
        counts=Counts(
            patients_negative=counts.negative,
            patients_positive=counts.positive,
            patches_i=counts.i,
            patches_n=counts.n,
            patches_p=counts.p,
        ),
        theta0_sha256=problem.theta0_sha256,
        cohort_sha256=cohort_digest(cohort),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        device=str(problem.device),
    )


def prepare(
    cohort: Cohort,
    settings: Settings,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    shared: Parameters | None = None,
) -> Problem:
    """Open the cohort's windows, build the network, and compute the features that heads need.

    Args:
        cohort: labelled patches.
        settings: of the run.
        device: torch's name of where to compute.
        progress: called with (patches, patches in all) while features are computed.
        shared: the weights of a shared model, where they are the announced θ0.

    Raises:
        CohortError: a class has no training or no validation window.
        UsageError: the network cannot take the cohort's patches, or there is no such device.
    """
    train, val = cohort.patches("train"), cohort.patches("val")
    for split, patches in (("training", train), ("validation", val)):
        if missing := missing_classes(patches):
            raise CohortError(
                f"no {split} window of class {', '.join(missing)}",
                cohort.path,
                "add films, or change the patch size or the split",
            )
    return prepare_patches(train, val, cohort.protocol, settings, device, progress, shared)


def prepare_patches(
    train: Patches,
    val: Patches,
    protocol: Protocol,
    settings: Settings,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    shared: Parameters | None = None,
) -> Problem:
    """The same from patches themselves, of any classes.

    Args:
        train: to learn from; every class is present.
        val: to score on, of the same classes; every class is present.
        protocol: its side and its normalisation count.
        settings, device, progress, shared: as for ``prepare``.

    Raises:
        UsageError: the network cannot take these patches, or there is no such device.
    """
    side = protocol.side
    module = build(settings.network, side, len(train.classes))
    problem = Problem(
        protocol,
        settings,
        require_device(device),
        module,
        chain_of(module, side, FACTORS[settings.precision]) if settings.train == "all" else None,
        train,
        train.rows_by_class(),
        (torch.empty(0), torch.empty(0)),
        shared=shared,
    )
    generator = numpy_generator(settings.seed, "score-rows")
    chosen = scoring_rows(val, settings.score_patches, generator)
    problem = replace(problem, scoring=problem.patches(val, chosen))
    if settings.train == "all":
        return problem
    problem = replace(problem, features=_features(problem, progress))
    if settings.outer == "lbfgs":
        return replace(problem, fixed=problem.draw(0, 0))
    return problem


def _features(problem: Problem, progress: Callable[[int, int], None]) -> Features:
    settings, train = problem.settings, problem.train
    generator = numpy_generator(settings.seed, "feature-rows")
    chosen = scoring_rows(train, settings.feature_patches, generator)
    theta0 = problem.theta0("theta0", 0)
    body = body_of(settings.network, problem.protocol.side, theta0)
    parts, classes = [], []
    for start in range(0, len(chosen), FEATURE_BATCH):
        x, y = problem.patches(train, chosen[start : start + FEATURE_BATCH])
        parts.append(body.features_of(x))
        classes.append(y)
        progress(start + len(y), len(chosen))
    labels = train.labels[chosen]
    rows = [np.flatnonzero(labels == label) for label in range(len(train.classes))]
    scoring = body.features_of(problem.scoring[0])
    return Features(body, torch.cat(parts), torch.cat(classes), rows, scoring)
