"""One model from the bundles of several hospitals (method.md section 5; beyond the source).

Four schemes, each a pure function of the contributions and a seed:

``average``
    from the same θ0, each hospital's whole trajectory on its own images; the ends are averaged,
    weighted by patient count: federated averaging (McMahan et al. 2017) in a single exchange. The
    default.
``in-step``
    at each inner step every hospital's update is computed from the same weights, and their average,
    weighted by patient count, is taken.
``sequential``
    the hospitals' whole trajectories one after another, in the order of their names.
``union``
    all images as one small training set, trained on for ``UNION_STEPS`` steps with augmentation;
    the learned rates are not used.

Images that were distilled for the last layer alone train the last layer alone, by each scheme.
"""

import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Literal, get_args, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.distill.chain.network import chain_of
from gdshare.distill.chain.sweeps import add_gradient
from gdshare.distill.head import Head, advance, body_of, train_head
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import InnerData, trajectory_end
from gdshare.distilled import Distilled
from gdshare.errors import DivergedError, UsageError
from gdshare.method import Method
from gdshare.model import Model
from gdshare.networks import Parameters, build, digest, draw, forward
from gdshare.protocol import CLASSES, MAX_ENSEMBLE, Protocol
from gdshare.seeding import torch_generator
from gdshare.theta0 import announced_theta0, unknown_start

Scheme = Literal["average", "in-step", "sequential", "union"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

PATIENT_CAP = 2.0
"""A hospital's patients count up to this many times the median: nobody can check the number."""

UNION_STEPS = 300
UNION_RATE = 1e-3
"""Adam's learning rate."""
UNION_SHIFT = 0.125
"""Largest shift of an image, in sides."""
UNION_PART = 512
"""Images of a union that go through the network together: of a thousand bundles they are 3,000,
whose maps would take 6 GB in a ConvNet."""


@dataclass(frozen=True)
class Contribution:
    """What one hospital's bundle brings to a pooled training.

    Attributes:
        site: name of the hospital; only the order of names matters.
        distilled: images, labels, learning rates.
        method: how they were made: decides the network and the number of steps.
        initialiser: name and version of the scheme that draws their θ0.
        patients: training patients, by the hospital's own count.
        theta0_sha256: of the announced θ0 they were distilled for; None when θ0 was random.
        classes: in the order of the soft labels' columns; a bundle's are always ``CLASSES``.
        shared: the weights of the shared model that is their announced θ0, if it is one.
    """

    site: str
    distilled: Distilled
    method: Method
    initialiser: str
    patients: int
    theta0_sha256: str | None = None
    classes: tuple[str, ...] = CLASSES
    shared: Parameters | None = None


class Origin(typing.Protocol):
    """How distilled images were made; manifests and run records both have these fields."""

    @property
    def method(self) -> Method:
        """Settings of Algorithm 1."""

    @property
    def initialiser(self) -> str:
        """Name and version of the scheme that draws θ0."""

    @property
    def theta0_sha256(self) -> str | None:
        """Digest of the announced θ0, or None."""


def contribution_from(
    site: str,
    distilled: Distilled,
    origin: Origin,
    patients: int,
    shared: Parameters | None = None,
) -> Contribution:
    """What one hospital's distilled images bring to a pooled training.

    Args:
        site: the hospital's name.
        distilled: the images, labels and learning rates.
        origin: the bundle's manifest, or the run's record.
        patients: training patients, by the hospital's own count.
        shared: the weights of the shared model that is their announced θ0, if it is one.
    """
    method, theta0 = origin.method, origin.theta0_sha256
    return Contribution(
        site, distilled, method, origin.initialiser, patients, theta0, shared=shared
    )


def train_pooled(
    contributions: Sequence[Contribution],
    protocol: Protocol,
    scheme: Scheme,
    seed: int,
    ensemble: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """Train one model from all contributions.

    Args:
        contributions: at least one; their order does not matter.
        protocol: of all bundles; the caller checks that it is the same.
        scheme: see the module's docstring.
        seed: decides every θ0 and the augmentation.
        ensemble: networks to train, each from a θ0 of its own, 1 to ``MAX_ENSEMBLE``; an announced
            θ0 gives a single network. Networks that diverge are left out, if they are the minority.
        progress: called with (networks trained, in all).

    Raises:
        DivergedError: half of the networks or more diverge; it names the hospitals.
        UsageError: no contribution; they differ in classes, network, trained part, initialiser,
            announced θ0 or (in step) number of steps; this machine has another θ0 than the
            announced one; or ``ensemble`` is out of range.
    """
    if not 1 <= ensemble <= MAX_ENSEMBLE:
        raise UsageError(
            f"an ensemble of {ensemble} networks", remedy=f"choose 1 to {MAX_ENSEMBLE}"
        )
    ordered = sorted(contributions, key=lambda contribution: contribution.site)
    first = _require_alike(ordered, scheme)
    module = build(first.method.network, protocol.side, len(first.classes))
    count = ensemble if first.theta0_sha256 is None else 1
    trained = []
    for place in range(count):
        trained.append(_train(module, ordered, scheme, seed, place))
        progress(place + 1, count)
    finite = tuple(theta for theta in trained if _finite(theta))
    if 2 * len(finite) <= count:
        lost = next(place for place, theta in enumerate(trained) if not _finite(theta))
        theta0 = _start(module, first, seed, lost)
        raise DivergedError(
            f"training on the bundles of {_culprits(module, theta0, ordered)} leaves "
            "the range of numbers",
            remedy="leave them out, and ask these hospitals to distil again",
        )
    return Model(first.method.network, protocol, finite, first.classes)


@dataclass(frozen=True)
class Alone:
    """A network trained on one bundle alone.

    Attributes:
        start: what the trajectory starts from: θ0, with a last layer of zeros if only that is
            trained.
        end: weights after the bundle's trajectory; not finite where it diverged.
    """

    start: Parameters
    end: Parameters

    @property
    def finite(self) -> bool:
        """Whether the training did not diverge."""
        return _finite(self.end)


def train_alone(
    contribution: Contribution, protocol: Protocol, seed: int, networks: int
) -> tuple[Alone, ...]:
    """Train networks on one contribution alone, to assess it.

    Args:
        contribution: of one hospital.
        protocol: of its bundle.
        seed: decides every θ0; with the same seed all contributions get the same.
        networks: how many; an announced θ0 gives a single network.

    Raises:
        UsageError: this machine draws another θ0 than the announced one.
    """
    starts = shared_starts(contribution, protocol, seed, networks)
    return tuple(start.train(contribution) for start in starts)


@dataclass(frozen=True)
class SharedStart:
    """θ0, drawn once, from which networks are trained on one contribution each.

    Attributes:
        module: the network's shape.
        theta0: initial weights.
        head: the last layer of zeros on θ0's body, if only that is trained.
    """

    module: nn.Module
    theta0: Parameters
    head: Head | None

    def train(self, contribution: Contribution) -> Alone:
        """Train a network on a contribution of the same network, trained part and θ0."""
        if self.head is None:
            return Alone(self.theta0, _end(self.module, self.theta0, contribution))
        end = train_head(self.head, _data(contribution), contribution.method.trajectory)
        return Alone(self.head.network(), end.network())


def shared_starts(
    like: Contribution, protocol: Protocol, seed: int, networks: int
) -> Iterator[SharedStart]:
    """The θ0 from which ``train_alone`` trains, one after the other.

    Args:
        like: one of the contributions; all are of its network, trained part and announced θ0.
        protocol, seed, networks: as for ``train_alone``.

    Raises:
        UsageError: this machine draws another θ0 than the announced one.
    """
    module = build(like.method.network, protocol.side, len(like.classes))
    for place in range(networks if like.theta0_sha256 is None else 1):
        yield _shared(module, _start(module, like, seed, place), like)


@dataclass(frozen=True)
class TrainedWhenRead(Sequence[Parameters]):
    """The first network of ``train_alone``, as an ensemble that is trained each time it is read.

    A question names a bundle, and its receiver trains the network itself; few ever need the
    weights, and those of a thousand bundles would fill the memory.

    Attributes:
        contribution, protocol, seed: see ``train_alone``.
    """

    contribution: Contribution
    protocol: Protocol
    seed: int

    def __len__(self) -> int:
        """One."""
        return 1

    @overload
    def __getitem__(self, place: int) -> Parameters: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Parameters]: ...

    def __getitem__(self, place: int | slice) -> Parameters | Sequence[Parameters]:
        """Train it."""
        ends = [
            start.train(self.contribution).end
            for start in shared_starts(self.contribution, self.protocol, self.seed, 1)
        ]
        return ends[place]


def capped_weights(patients: Sequence[int]) -> list[float]:
    """Weights by patient count, each count capped at ``PATIENT_CAP`` times the median.

    Returns:
        weights that sum to 1; equal ones when all counts are 0.
    """
    cap = PATIENT_CAP * median_low(patients)  # of two, the lower: a false count must not raise it
    counted = [min(count, cap) for count in patients]
    total = sum(counted)
    return [value / total if total else 1.0 / len(counted) for value in counted]


def _train(
    module: nn.Module, ordered: Sequence[Contribution], scheme: Scheme, seed: int, place: int
) -> Parameters:
    """Network number ``place`` of the ensemble; not finite where training diverged."""
    theta0 = _start(module, ordered[0], seed, place)
    if ordered[0].method.train == "head":
        start = _head_at(theta0, ordered[0])
        generator = torch_generator(seed, "pooled-augment", place)
        return _train_head(start, ordered, scheme, generator).network()
    if scheme == "average":
        return _average(module, theta0, ordered)
    if scheme == "in-step":
        return _in_step(module, theta0, ordered)
    if scheme == "sequential":
        theta = theta0
        for contribution in ordered:
            theta = _end(module, theta, contribution)
        return theta
    return _union(module, theta0, ordered, torch_generator(seed, "pooled-augment", place))


def _start(module: nn.Module, contribution: Contribution, seed: int, place: int) -> Parameters:
    """θ0: drawn from seed and place, or the announced one that the bundles were distilled for."""
    method, expected = contribution.method, contribution.theta0_sha256
    if expected is None:
        return draw(method.network, module, torch_generator(seed, "pooled-theta0", place))
    theta0 = announced_theta0(method, module, contribution.shared)
    if digest(theta0) != expected:
        what, remedy = unknown_start(contribution.site, expected, method.theta0_number)
        raise UsageError(what, remedy=remedy)
    return theta0


def _finite(theta: Parameters) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in theta.values())


def _culprits(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> str:
    """Hospitals with a bundle that diverges alone; all of them, when only the mixture does."""
    start = _shared(module, theta0, ordered[0])
    alone = [part.site for part in ordered if not start.train(part).finite]
    return ", ".join(alone or [part.site for part in ordered])


def _require_alike(ordered: Sequence[Contribution], scheme: Scheme) -> Contribution:
    if not ordered:
        raise UsageError("no bundle to train from", remedy="admit at least one")
    first = ordered[0]
    for other in ordered[1:]:
        for field, ours, theirs in (
            ("class name", ", ".join(first.classes), ", ".join(other.classes)),
            ("network", first.method.network, other.method.network),
            ("trained part", first.method.train, other.method.train),
            ("initialiser", first.initialiser, other.initialiser),
            ("announced θ0", first.theta0_sha256, other.theta0_sha256),
            ("number of the announced θ0", first.method.theta0_number, other.method.theta0_number),
        ):
            if ours != theirs:
                raise UsageError(
                    f"the bundles of {first.site} and {other.site} expect different "
                    f"{field}s ({ours}, {theirs})",
                    remedy="pool bundles of one round",
                )
        if scheme == "in-step" and first.method.trajectory != other.method.trajectory:
            raise UsageError(
                f"the bundles of {first.site} and {other.site} were distilled for "
                f"{first.method.trajectory} and {other.method.trajectory} steps",
                remedy="pool them with --pooling sequential or union",
            )
    return first


def _average(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> Parameters:
    """Σ_h w_h θ_h, where θ_h is the end of hospital h's own trajectory from θ0."""
    weights = capped_weights([contribution.patients for contribution in ordered])
    mean = {name: torch.zeros_like(weight) for name, weight in theta0.items()}
    for share, contribution in zip(weights, ordered, strict=True):
        for name, weight in _end(module, theta0, contribution).items():
            mean[name] += share * weight
    return mean


@torch.no_grad()
def _in_step(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> Parameters:
    """θ ← Σ_h w_h (θ − α̃_h ∇ℓ_h): the weighted mean of the hospitals' own steps from θ."""
    steps = ordered[0].method.trajectory
    weights = capped_weights([contribution.patients for contribution in ordered])
    data = [_data(contribution) for contribution in ordered]
    rates = [part.rates_of(steps) for part in data]
    chain = chain_of(module, data[0].images.shape[-1])
    theta = chain.pack(theta0)
    for step in range(steps):
        after = theta.copy()
        for share, part, alpha in zip(weights, data, rates, strict=True):
            _, images, labels = part.at(step)
            add_gradient(chain, theta, images, labels, alpha[step], after, -share * alpha[step])
        theta = after
    return chain.unpack(theta, theta0)


def _union(
    module: nn.Module,
    theta0: Parameters,
    ordered: Sequence[Contribution],
    generator: torch.Generator,
) -> Parameters:
    data = [_data(contribution) for contribution in ordered]
    images = torch.cat([part.images for part in data])
    labels = torch.cat([part.labels for part in data])
    theta = {name: weight.clone().requires_grad_() for name, weight in theta0.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=UNION_RATE)
    for _ in range(UNION_STEPS):
        optimiser.zero_grad()
        augmented = _augment(images, generator)
        parts = torch.split(augmented, UNION_PART), torch.split(labels, UNION_PART)
        for part, wanted in zip(*parts, strict=True):
            loss = functional.cross_entropy(forward(module, theta, part), wanted)
            share = len(part) / len(images)  # of the mean over all images
            (loss * share).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {name: weight.detach() for name, weight in theta.items()}


def _train_head(
    start: Head, ordered: Sequence[Contribution], scheme: Scheme, generator: torch.Generator
) -> Head:
    """The schemes on the last layer alone."""
    data = [_data(contribution) for contribution in ordered]
    steps = [contribution.method.trajectory for contribution in ordered]
    if scheme == "union":
        return _union_head(start, data, generator)
    if scheme == "sequential":
        for part, count in zip(data, steps, strict=True):
            start = train_head(start, part, count)
        return start
    weights = capped_weights([contribution.patients for contribution in ordered])
    if scheme == "average":
        ends = [train_head(start, part, count) for part, count in zip(data, steps, strict=True)]
        return _mean_head(ends, weights)
    features = [start.body.features_of(part.images) for part in data]
    for step in range(steps[0]):
        moved = [
            advance(start, inputs, part, step, step + 1)
            for inputs, part in zip(features, data, strict=True)
        ]
        start = _mean_head(moved, weights)
    return start


def _mean_head(heads: Sequence[Head], weights: Sequence[float]) -> Head:
    """Σ_h w_h W_h. A head has 40 kB, so those of a thousand hospitals are added at once."""
    pairs = list(zip(weights, heads, strict=True))
    weight = torch.stack([share * head.weight for share, head in pairs]).sum(0)
    bias = torch.stack([share * head.bias for share, head in pairs]).sum(0)
    return replace(heads[0], weight=weight, bias=bias)


def _union_head(start: Head, parts: Sequence[InnerData], generator: torch.Generator) -> Head:
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    weight, bias = (tensor.clone().requires_grad_() for tensor in (start.weight, start.bias))
    head = replace(start, weight=weight, bias=bias)
    optimiser = torch.optim.Adam([weight, bias], lr=UNION_RATE)
    for _ in range(UNION_STEPS):
        optimiser.zero_grad()
        logits = head.logits(start.body.features_of(_augment(images, generator)))
        loss = functional.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return replace(start, weight=weight.detach(), bias=bias.detach())


def _augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror and shift each image at random; at patch level, left and right are alike."""
    reach = int(images.shape[-1] * UNION_SHIFT)
    augmented = []
    for image in images:
        flip, dy, dx = (
            int(torch.randint(0, 2, (), generator=generator)),
            int(torch.randint(-reach, reach + 1, (), generator=generator)),
            int(torch.randint(-reach, reach + 1, (), generator=generator)),
        )
        mirrored = image.flip(-1) if flip else image
        augmented.append(mirrored.roll((dy, dx), dims=(-2, -1)))
    return torch.stack(augmented)


def _data(contribution: Contribution) -> InnerData:
    return tensors_of(contribution.distilled, contribution.method.sets, torch.device("cpu"))


def _head_at(theta0: Parameters, contribution: Contribution) -> Head:
    method, side = contribution.method, contribution.distilled.images.shape[-1]
    return Head.zeros(body_of(method.network, side, theta0))


def _shared(module: nn.Module, theta0: Parameters, like: Contribution) -> SharedStart:
    head = _head_at(theta0, like) if like.method.train == "head" else None
    return SharedStart(module, theta0, head)


def _end(module: nn.Module, theta: Parameters, contribution: Contribution) -> Parameters:
    """The end of a trajectory of all weights."""
    return trajectory_end(module, theta, _data(contribution), contribution.method.trajectory)
