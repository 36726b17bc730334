"""One model from the bundles of several hospitals (method.md section 5; beyond the source).

Four pure ways, each a function of the contributions and a seed:

``average``
    from one θ0, each hospital's whole trajectory on its own images; the ends are averaged, weighted
    by patient count: federated averaging (McMahan et al. 2017) in a single exchange. The default.
``in-step``
    at each inner step every hospital's update is computed from the same weights, and their average,
    weighted by patient count, is taken.
``sequential``
    one hospital's whole trajectory after another's, in the order of their names.
``union``
    all images as one small training set, trained to convergence with augmentation; the learned
    rates are not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from gdshare.distill.chain.network import chain_of
from gdshare.distill.chain.sweeps import add_gradient
from gdshare.distill.problem import fixed_theta0
from gdshare.distill.score import tensors_of
from gdshare.distill.unroll import Labelled, trajectory_end
from gdshare.distilled import Distilled
from gdshare.errors import DivergedError, UsageError
from gdshare.method import Method
from gdshare.model import Model
from gdshare.networks import Parameters, build, digest, draw, forward
from gdshare.protocol import MAX_ENSEMBLE, Protocol
from gdshare.seeding import torch_generator

Scheme = Literal["average", "in-step", "sequential", "union"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

PATIENT_CAP = 2.0
"""A hospital's weight is at most this many times the median: its count is its own word."""

UNION_STEPS = 300
UNION_RATE = 1e-3
UNION_SHIFT = 0.125


@dataclass(frozen=True)
class Contribution:
    """What one hospital's bundle brings to a pooled training.

    Attributes:
        site: its name; only the order of names matters.
        distilled: images, labels, learning rates.
        method: how they were made, hence how many steps to take, on which network.
        initialiser: the named scheme they expect θ0 from.
        patients: training patients, as the hospital says.
        theta0_sha256: of the fixed θ0 they were distilled for; None when θ0 was random.
    """

    site: str
    distilled: Distilled
    method: Method
    initialiser: str
    patients: int
    theta0_sha256: str | None = None


def train_pooled(
    contributions: Sequence[Contribution],
    protocol: Protocol,
    scheme: Scheme,
    seed: int,
    ensemble: int = 1,
) -> Model:
    """Train one model from all contributions.

    Args:
        contributions: at least one; their order does not matter.
        protocol: of all bundles alike; the caller checks it.
        scheme: see the module's docstring.
        seed: decides every θ0 and the augmentation.
        ensemble: networks to train, each from a θ0 of its own, 1 to ``MAX_ENSEMBLE``. There is one
            where θ0 is fixed; and those that do not stay finite are left out, if more do.

    Raises:
        DivergedError: half of the networks or more do not stay finite; it names the hospitals.
        UsageError: none given, they differ in network, initialiser, fixed θ0 or, in step, length,
            this machine draws another θ0 than the fixed one, or too many networks are wanted.
    """
    if not 1 <= ensemble <= MAX_ENSEMBLE:
        raise UsageError(
            f"an ensemble of {ensemble} networks", remedy=f"choose 1 to {MAX_ENSEMBLE}"
        )
    ordered = sorted(contributions, key=lambda contribution: contribution.site)
    first = _require_alike(ordered, scheme)
    module = build(first.method.network, protocol.side)
    count = ensemble if first.theta0_sha256 is None else 1
    trained = [_train(module, ordered, scheme, seed, place) for place in range(count)]
    finite = tuple(theta for theta in trained if _finite(theta))
    if 2 * len(finite) <= count:
        lost = next(place for place, theta in enumerate(trained) if not _finite(theta))
        theta0 = _start(module, first, seed, lost)
        raise DivergedError(
            f"training on the bundles of {_culprits(module, theta0, ordered)} leaves "
            "the range of numbers",
            remedy="leave them out, and ask these hospitals to distil again",
        )
    return Model(first.method.network, protocol, finite)


@dataclass(frozen=True)
class Alone:
    """What one bundle does to a network by itself, from one θ0.

    Attributes:
        start: θ0.
        end: of the bundle's own trajectory; not always finite.
    """

    start: Parameters
    end: Parameters

    @property
    def finite(self) -> bool:
        """Whether the end is a network at all."""
        return _finite(self.end)


def train_alone(
    contribution: Contribution, protocol: Protocol, seed: int, networks: int
) -> tuple[Alone, ...]:
    """Train networks from one contribution alone, to see what it teaches.

    Args:
        contribution: one hospital's.
        protocol: of its bundle.
        seed: decides every θ0; the same seed gives every contribution the same ones.
        networks: how many; one where θ0 is fixed.

    Raises:
        UsageError: this machine draws another θ0 than the fixed one.
    """
    module = build(contribution.method.network, protocol.side)
    count = networks if contribution.theta0_sha256 is None else 1
    starts = [_start(module, contribution, seed, place) for place in range(count)]
    return tuple(Alone(theta0, _end(module, theta0, contribution)) for theta0 in starts)


def capped_weights(patients: Sequence[int]) -> list[float]:
    """Shares by patient count, none counted beyond ``PATIENT_CAP`` times the median count.

    Returns:
        positive numbers that sum to 1; equal shares when nobody counts a patient.
    """
    cap = PATIENT_CAP * median_low(patients)  # of two, the lower: a boast must not raise the cap
    counted = [min(count, cap) for count in patients]
    total = sum(counted)
    return [value / total if total else 1.0 / len(counted) for value in counted]


def _train(
    module: nn.Module, ordered: Sequence[Contribution], scheme: Scheme, seed: int, place: int
) -> Parameters:
    """The ensemble's network number ``place``; not always finite."""
    theta0 = _start(module, ordered[0], seed, place)
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


def _start(module: nn.Module, one: Contribution, seed: int, place: int) -> Parameters:
    """θ0: drawn from seed and place, or the one that the bundles were distilled for."""
    if one.theta0_sha256 is None:
        return draw(one.method.network, module, torch_generator(seed, "pooled-theta0", place))
    theta0 = fixed_theta0(one.method, module)
    if digest(theta0) != one.theta0_sha256:
        raise UsageError(
            f"the bundle of {one.site} was distilled for the one θ0 "
            f"{one.theta0_sha256[:12]}…, and this machine's torch draws another from "
            "its seed",
            remedy="pool it where the torch release is the hospital's",
        )
    return theta0


def _finite(theta: Parameters) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in theta.values())


def _culprits(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> str:
    """Names of the hospitals whose bundle fails even alone; of all, when only together they do."""
    alone = [one.site for one in ordered if not _finite(_end(module, theta0, one))]
    return ", ".join(alone or [one.site for one in ordered])


def _require_alike(ordered: Sequence[Contribution], scheme: Scheme) -> Contribution:
    if not ordered:
        raise UsageError("no bundle to train from", remedy="admit at least one")
    first = ordered[0]
    for other in ordered[1:]:
        for what, mine, theirs in (
            ("network", first.method.network, other.method.network),
            ("initialiser", first.initialiser, other.initialiser),
            ("fixed θ0", first.theta0_sha256, other.theta0_sha256),
            ("number of the fixed θ0", first.method.theta0_number, other.method.theta0_number),
        ):
            if mine != theirs:
                raise UsageError(
                    f"the bundles of {first.site} and {other.site} expect different "
                    f"{what}s ({mine}, {theirs})",
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
    """Σ_h w_h θ_h, each hospital's θ_h being the end of its own trajectory from θ0."""
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
    rates = [own.rates_of(steps) for own in data]
    chain = chain_of(module, data[0].images.shape[-1])
    theta = chain.pack(theta0)
    for step in range(steps):
        moved = theta.copy()
        for share, own, alpha in zip(weights, data, rates, strict=True):
            _, images, labels = own.at(step)
            add_gradient(chain, theta, images, labels, alpha[step], moved, -share * alpha[step])
        theta = moved
    return chain.unpack(theta, theta0)


def _union(
    module: nn.Module,
    theta0: Parameters,
    ordered: Sequence[Contribution],
    generator: torch.Generator,
) -> Parameters:
    parts = [_data(contribution) for contribution in ordered]
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    theta = {name: weight.clone().requires_grad_() for name, weight in theta0.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=UNION_RATE)
    for _ in range(UNION_STEPS):
        optimiser.zero_grad()
        logits = forward(module, theta, _augment(images, generator))
        loss = functional.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {name: weight.detach() for name, weight in theta.items()}


def _augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror and shift each image by chance; films have no preferred side at patch level."""
    reach = int(images.shape[-1] * UNION_SHIFT)
    moved = []
    for image in images:
        flip, dy, dx = (
            int(torch.randint(0, 2, (), generator=generator)),
            int(torch.randint(-reach, reach + 1, (), generator=generator)),
            int(torch.randint(-reach, reach + 1, (), generator=generator)),
        )
        mirrored = image.flip(-1) if flip else image
        moved.append(mirrored.roll((dy, dx), dims=(-2, -1)))
    return torch.stack(moved)


def _data(contribution: Contribution) -> Labelled:
    return tensors_of(contribution.distilled, contribution.method.sets, torch.device("cpu"))


def _end(module: nn.Module, theta: Parameters, contribution: Contribution) -> Parameters:
    return trajectory_end(module, theta, _data(contribution), contribution.method.trajectory)
