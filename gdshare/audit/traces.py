"""What a set of distilled images says about a window: the statistics that give members away.

``confidence``
    of networks trained from the images: the logarithm of the odds of the right class, as in Carlini
    et al. 2022. A receiver's attack.
``trajectory``
    minus the loss along the trajectory that the images prescribe, the mean of all its steps (of all
    weights: of its middle and its end), by the loss that the images were distilled for.
``alignment``
    the cosine between the update of the last layer that the images make and the one that the window
    itself would make.
``nearness``
    the largest cosine between the window's features and an image's; of networks that are trained
    whole, the largest correlation of pixels.

The higher, the more like a training window. Shapes in the comments::

    n  windows
    F  features
    L  classes
    M  images
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.audit.candidates import Candidates
from gdshare.distill.head import Body, Head, advance
from gdshare.distill.problem import Problem
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.distilled import Distilled
from gdshare.method import Method, RunRecord
from gdshare.networks import Parameters, build, forward
from gdshare.patch_tensors import FORWARD_BATCH, as_tensors
from gdshare.pooling import contribution_from, shared_starts

NETWORKS = 2
"""Trained whole from each set of images; a head needs one."""
STATISTICS = ("confidence", "trajectory", "alignment", "nearness")

Trace = Mapping[str, npt.NDArray[np.float64]]
"""Statistic -> float64 [windows]."""
Reader = Callable[[Distilled], Trace]


def reader_of(
    candidates: Candidates,
    problem: Problem,
    record: RunRecord,
    distilled: Distilled,
    seed: int,
    shared: Parameters | None,
) -> Reader:
    """A function that takes the statistics of all measured windows under a set of images.

    Args:
        candidates: whose windows.
        problem: of the shadows; a head's body comes from it.
        record, distilled: of the run: how its images are to be trained on.
        seed: decides θ0 where it is random; the same for all sets.
        shared: the weights of the shared model that is the announced θ0, if it is one.
    """
    rows = np.arange(len(candidates.measured))
    x, classes = as_tensors(candidates.measured, rows, problem.protocol)
    if problem.features is not None:
        body = problem.features.body
        features = body.features_of(x.to(problem.device))
        return head_reader(body, features, classes.to(problem.device), record.method)
    contribution = contribution_from("this run", distilled, record, 1, shared)
    starts = tuple(
        _start(problem.module, record.method.network, own.theta0, x)
        for own in shared_starts(contribution, problem.protocol, seed, NETWORKS)
    )
    return _OfNetworks(problem.module, record.method, starts, x, classes)


def head_reader(body: Body, features: Tensor, classes: Tensor, method: Method) -> Reader:
    """The same where only a head is trained, and the windows' features are known.

    Args:
        body: what the features are of.
        features: conditioned, float32 [n, F].
        classes: of the windows, int64 [n].
        method: of the run.
    """
    return _OfHead(body, features, classes, method)


@dataclass(frozen=True)
class _OfHead:
    body: Body
    features: Tensor  # [n, F], conditioned
    classes: Tensor  # [n]
    method: Method

    @torch.no_grad()
    def __call__(self, distilled: Distilled) -> Trace:
        data = tensors_of(distilled, self.method.sets, self.features.device)
        images, head = self.body.features(data.images), Head.zeros(self.body)  # [M, F]
        losses = []
        for step in range(self.method.trajectory):
            head = advance(head, images, data, step, step + 1)
            losses.append(_losses(head.logits(self.features), self.classes, self.method.outer_loss))
        zeros = torch.zeros(len(self.classes), head.bias.numel(), device=self.features.device)
        return _as_trace(
            confidence=_log_odds(head.logits(self.features), self.classes),
            trajectory=-torch.stack(losses).mean(0),
            alignment=_alignment(self.features, zeros, self.classes, head.weight),
            nearness=_cosines(self.features, images),
        )


@dataclass(frozen=True)
class _Start:
    """What every set of images is trained from, with what θ0 says of the windows."""

    theta0: Parameters
    logits: Tensor  # [n, L]
    features: Tensor  # that the last layer reads, [n, F]
    last: str  # name of that layer


@dataclass(frozen=True)
class _OfNetworks:
    module: nn.Module
    method: Method
    starts: tuple[_Start, ...]
    x: Tensor  # [n, 1, s, s]
    classes: Tensor  # [n]

    @torch.no_grad()
    def __call__(self, distilled: Distilled) -> Trace:
        data = tensors_of(distilled, self.method.sets, torch.device("cpu"))
        parts = [self._from(start, data) for start in self.starts]
        mean = {name: torch.stack([own[name] for own in parts]).mean(0) for name in parts[0]}
        return _as_trace(**mean, nearness=_cosines(_centred(self.x), _centred(data.images)))

    def _from(self, start: _Start, data: InnerData) -> dict[str, Tensor]:
        steps = self.method.trajectory
        ends = [
            trajectory_end(self.module, start.theta0, data, stop)
            for stop in sorted({max(1, steps // 2), steps})
        ]
        logits = [_forward(self.module, theta, self.x) for theta in ends]  # [n, L] each
        losses = [_losses(own, self.classes, self.method.outer_loss) for own in logits]
        weight = f"{start.last}.weight"
        update = ends[-1][weight] - start.theta0[weight]
        return {
            "confidence": _log_odds(logits[-1], self.classes),
            "trajectory": -torch.stack(losses).mean(0),
            "alignment": _alignment(start.features, start.logits, self.classes, update),
        }


@torch.no_grad()
def _start(module: nn.Module, network: str, theta0: Parameters, x: Tensor) -> _Start:
    stripped = build(network, x.shape[-1])
    last = [own for own, part in stripped.named_modules() if isinstance(part, nn.Linear)][-1]
    stripped.set_submodule(last, nn.Identity())
    rest = {own: w for own, w in theta0.items() if not own.startswith(f"{last}.")}
    return _Start(theta0, _forward(module, theta0, x), _forward(stripped, rest, x), last)


def _as_trace(**statistics: Tensor) -> Trace:
    return {
        name: np.nan_to_num(values.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
        for name, values in statistics.items()
    }


def _forward(module: nn.Module, theta: Parameters, x: Tensor) -> Tensor:
    return torch.cat([forward(module, theta, part) for part in torch.split(x, FORWARD_BATCH)])


def _log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """log(p / (1 - p)) of the right class: [n, L], [n] -> [n]."""
    right = logits.gather(1, classes[:, None])  # [n, 1]
    others = logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1)
    return right[:, 0] - others


def _losses(logits: Tensor, classes: Tensor, outer: str) -> Tensor:
    """By the outer loss (``OuterLoss``), of each window: [n, L], [n] -> [n]."""
    if outer == "cross-entropy":
        return functional.cross_entropy(logits, classes, reduction="none")
    labels = logits.shape[1]
    wanted = functional.one_hot(classes, labels).to(logits) - 1.0 / labels
    return (logits - wanted).square().sum(1)


def _alignment(features: Tensor, logits: Tensor, classes: Tensor, update: Tensor) -> Tensor:
    """Cosine of two updates of a last layer's weights.

    Args:
        features: what the layer reads of each window, [n, F].
        logits: at θ0, [n, L].
        classes: [n].
        update: that the images make, [L, F].

    Returns:
        [n]; a window's own update is (y - p) φᵀ, whose product with ``update`` is (y - p)ᵀ U φ.
    """
    wanted = functional.one_hot(classes, logits.shape[1]).to(logits)
    slope = wanted - functional.softmax(logits, 1)  # [n, L]
    product = (slope * (features @ update.T)).sum(1)
    lengths: Tensor = slope.norm(dim=1) * features.norm(dim=1) * update.norm()
    cosines: Tensor = product / lengths.clamp_min(1e-12)
    return cosines


def _cosines(windows: Tensor, images: Tensor) -> Tensor:
    """The largest cosine of each window with any image: [n, F], [M, F] -> [n]."""
    cosines: Tensor = functional.normalize(windows) @ functional.normalize(images).T  # [n, M]
    return cosines.amax(1)


def _centred(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return flat - flat.mean(1, keepdim=True)
