"""One network from the bundles of several hospitals (method.md section 5; beyond the source).

Three pure ways, each a function of the contributions and a seed:

``in-step``
    at each inner step every hospital's update is computed from the same weights, and their average,
    weighted by patient count, is taken. The default: the trajectory stays the one each hospital
    distilled for.
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

from gdshare.distill.settings import Method
from gdshare.distill.synthetic import Distilled
from gdshare.distill.unroll import inner_step, soft_cross_entropy, trajectory_end
from gdshare.draws import torch_generator
from gdshare.errors import UsageError
from gdshare.model import Model
from gdshare.networks import Parameters, build, draw, forward
from gdshare.protocol import Protocol

Scheme = Literal["in-step", "sequential", "union"]
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
    """

    site: str
    distilled: Distilled
    method: Method
    initialiser: str
    patients: int


def train_pooled(
    contributions: Sequence[Contribution], protocol: Protocol, scheme: Scheme, seed: int
) -> Model:
    """Train one network from all contributions.

    Args:
        contributions: at least one; their order does not matter.
        protocol: of all bundles alike; the caller checks it.
        scheme: see the module's docstring.
        seed: decides θ0 and the augmentation.

    Raises:
        UsageError: none given, they differ in network, initialiser or, in step, length, or
            training on them does not stay finite; it names the hospitals.
    """
    ordered = sorted(contributions, key=lambda contribution: contribution.site)
    first = _require_alike(ordered, scheme)
    module = build(first.method.network, protocol.side)
    theta0 = draw(first.method.network, module, torch_generator(seed, "pooled-theta0"))
    if scheme == "in-step":
        theta = _in_step(module, theta0, ordered)
    elif scheme == "sequential":
        theta = theta0
        for contribution in ordered:
            data = _tensors(contribution.distilled)
            theta = trajectory_end(module, theta, *data, contribution.method.trajectory)
    else:
        theta = _union(module, theta0, ordered, torch_generator(seed, "pooled-augment"))
    if not _finite(theta):
        raise UsageError(
            f"training on the bundles of {_culprits(module, theta0, ordered)} leaves the range of "
            "numbers; leave them out, and ask these hospitals to distil again"
        )
    return Model(first.method.network, protocol, theta)


def capped_weights(patients: Sequence[int]) -> list[float]:
    """Shares by patient count, none counted beyond ``PATIENT_CAP`` times the median count.

    Returns:
        positive numbers that sum to 1; equal shares when nobody counts a patient.
    """
    cap = PATIENT_CAP * median_low(patients)  # of two, the lower: a boast must not raise the cap
    counted = [min(count, cap) for count in patients]
    total = sum(counted)
    return [value / total if total else 1.0 / len(counted) for value in counted]


def _finite(theta: Parameters) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in theta.values())


def _culprits(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> str:
    """Names of the hospitals whose bundle fails even alone; of all, when only together they do."""
    alone = [
        one.site
        for one in ordered
        if not _finite(
            trajectory_end(module, theta0, *_tensors(one.distilled), one.method.trajectory)
        )
    ]
    return ", ".join(alone or [one.site for one in ordered])


def _require_alike(ordered: Sequence[Contribution], scheme: Scheme) -> Contribution:
    if not ordered:
        raise UsageError("no bundle to train from; admit at least one")
    first = ordered[0]
    for other in ordered[1:]:
        for what, mine, theirs in (
            ("network", first.method.network, other.method.network),
            ("initialiser", first.initialiser, other.initialiser),
        ):
            if mine != theirs:
                raise UsageError(
                    f"the bundles of {first.site} and {other.site} expect different {what}s "
                    f"({mine}, {theirs}); pool bundles of one round"
                )
        if scheme == "in-step" and first.method.trajectory != other.method.trajectory:
            raise UsageError(
                f"the bundles of {first.site} and {other.site} were distilled for "
                f"{first.method.trajectory} and {other.method.trajectory} steps; pool them with "
                "--pooling sequential or union"
            )
    return first


def _in_step(module: nn.Module, theta0: Parameters, ordered: Sequence[Contribution]) -> Parameters:
    """θ ← Σ_h w_h (θ − α̃_h ∇ℓ_h): the weighted mean of the hospitals' own steps from θ."""
    steps = ordered[0].method.trajectory
    weights = capped_weights([contribution.patients for contribution in ordered])
    data = [_tensors(contribution.distilled) for contribution in ordered]
    theta = theta0
    for step in range(steps):
        leaves = {name: weight.requires_grad_() for name, weight in theta.items()}
        moved = [
            inner_step(module, leaves, images, labels, rates.expand(steps)[step], False)
            for images, labels, rates in data
        ]
        theta = {
            name: sum(
                (share * own[name].detach() for share, own in zip(weights, moved, strict=True)),
                start=torch.zeros_like(weight),
            )
            for name, weight in theta.items()
        }
    return theta


def _union(
    module: nn.Module,
    theta0: Parameters,
    ordered: Sequence[Contribution],
    generator: torch.Generator,
) -> Parameters:
    parts = [_tensors(contribution.distilled) for contribution in ordered]
    images = torch.cat([images for images, _, _ in parts])
    labels = torch.cat([labels for _, labels, _ in parts])
    theta = {name: weight.requires_grad_() for name, weight in theta0.items()}
    optimiser = torch.optim.Adam(theta.values(), lr=UNION_RATE)
    for _ in range(UNION_STEPS):
        optimiser.zero_grad()
        loss = soft_cross_entropy(forward(module, theta, _augment(images, generator)), labels)
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


def _tensors(distilled: Distilled) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(distilled.images.copy()),
        torch.from_numpy(distilled.labels.copy()),
        torch.from_numpy(distilled.learning_rates.copy()),
    )
