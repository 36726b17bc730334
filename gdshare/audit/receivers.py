"""What somebody who trains from a set of distilled images has: networks, and the update of weights.

``OfHead`` of runs that train the last layer alone, ``OfNetworks`` of those that train all weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import torch
from torch import Tensor, nn

from gdshare.audit.inversion import Update
from gdshare.distill.head import Body, Head, train_head
from gdshare.distill.problem import Problem
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import trajectory_end
from gdshare.distilled import Distilled
from gdshare.method import Method, RunRecord
from gdshare.networks import Parameters, build, forward
from gdshare.patch_tensors import FORWARD_BATCH
from gdshare.pooling import contribution_from, shared_starts

NETWORKS = 2
"""Trained whole from each set; a head needs one."""


class Receiver(Interface):
    """Trains from sets."""

    def verdicts(self, distilled: Distilled) -> Sequence[Tensor]:
        """Of every network, the logits of the windows that are asked about: float32 [n, L]."""
        ...

    def update(self, distilled: Distilled) -> Update:
        """What the first network's training does to its last layer."""
        ...


@dataclass(frozen=True)
class OfHead:
    """Trains a head.

    Attributes:
        body: what it reads by.
        features: of the windows that are asked about, float32 [n, F].
        method: of the run.
    """

    body: Body
    features: Tensor
    method: Method

    def verdicts(self, distilled: Distilled) -> Sequence[Tensor]:
        """See ``Receiver``."""
        return [self._trained(distilled).logits(self.features)]

    def update(self, distilled: Distilled) -> Update:
        """See ``Receiver``."""
        before, after = Head.zeros(self.body), self._trained(distilled)
        return Update(self.body.features, before.weight, before.bias, after.weight)

    def _trained(self, distilled: Distilled) -> Head:
        data = tensors_of(distilled, self.method.sets, self.features.device)
        return train_head(Head.zeros(self.body), data, self.method.trajectory)


@dataclass(frozen=True)
class OfNetworks:
    """Trains whole networks, on the processor.

    Attributes:
        module: the network's shape.
        method: of the run.
        starts: θ0 of each.
        windows: that are asked about, float32 [n, 1, s, s].
    """

    module: nn.Module
    method: Method
    starts: tuple[Parameters, ...]
    windows: Tensor

    def verdicts(self, distilled: Distilled) -> Sequence[Tensor]:
        """See ``Receiver``."""
        ends = [self._trained(theta0, distilled) for theta0 in self.starts]
        parts = torch.split(self.windows, FORWARD_BATCH)
        return [torch.cat([forward(self.module, end, part) for part in parts]) for end in ends]

    def update(self, distilled: Distilled) -> Update:
        """See ``Receiver``."""
        theta0 = self.starts[0]
        body = _body_at(self.method.network, self.windows.shape[-1], theta0)
        weight, bias = theta0[f"{body.last}.weight"], theta0[f"{body.last}.bias"]
        end = self._trained(theta0, distilled)
        return Update(body.features, weight, bias, end[f"{body.last}.weight"] - weight)

    @torch.no_grad()
    def _trained(self, theta0: Parameters, distilled: Distilled) -> Parameters:
        data = tensors_of(distilled, self.method.sets, torch.device("cpu"))
        return trajectory_end(self.module, theta0, data, self.method.trajectory)


def receiver_of(
    problem: Problem,
    record: RunRecord,
    distilled: Distilled,
    windows: Tensor,
    seed: int,
    shared: Parameters | None,
) -> Receiver:
    """Train as a receiver of the run's images would.

    Args:
        problem: of the shadows; a head's body comes from it.
        record, distilled: of the run: how its images are to be trained on.
        windows: that are asked about, float32 [n, 1, s, s], normalised.
        seed: decides θ0 where it is random; the same for all sets.
        shared: the weights of the shared model that is the announced θ0, if it is one.
    """
    if problem.features is not None:
        body = problem.features.body
        return OfHead(body, body.features_of(windows.to(problem.device)), record.method)
    contribution = contribution_from("this run", distilled, record, 1, shared)
    starts = shared_starts(contribution, problem.protocol, seed, NETWORKS)
    theta0 = tuple(own.theta0 for own in starts)
    return OfNetworks(problem.module, record.method, theta0, windows)


def _body_at(network: str, side: int, theta0: Parameters) -> Body:
    """A network without its last layer, whose features are read as they are."""
    module = build(network, side)
    layers = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    module.set_submodule(layers[-1], nn.Identity())
    nothing = torch.zeros(theta0[f"{layers[-1]}.weight"].shape[1])
    return Body(module, layers[-1], theta0, centre=nothing, scale=nothing + 1)
