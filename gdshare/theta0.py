"""The announced θ0 of a round as weights: drawn from its number, or a shared model's."""

from torch import nn

from gdshare.announcement import AnnouncedStart, is_shared_model, number_of
from gdshare.errors import AnnouncementError, ModelError
from gdshare.method import Method
from gdshare.model import Model, weights_from_bytes
from gdshare.networks import INITIALISERS, Parameters, build, digest, draw
from gdshare.seeding import torch_generator


def announced_theta0(
    method: Method, module: nn.Module, shared: Parameters | None = None
) -> Parameters:
    """The θ0 of a round that fixes it.

    Args:
        method: network, and number to draw from.
        module: as ``build`` made it.
        shared: the weights of a shared model; None: θ0 is drawn.

    Returns:
        parameter name -> float32 CPU tensor.
    """
    if shared is not None:
        return shared
    return draw(method.network, module, torch_generator(method.theta0_number, "fixed-theta0"))


def shared_bytes(model: Model) -> tuple[bytes, str]:
    """The first network of a model as the file of an announcement, and its digest as θ0."""
    theta0 = model.ensemble[0]
    alone = Model(model.network, model.protocol, (theta0,))
    return alone.to_bytes(), digest(theta0)


def shared_weights(data: bytes | None, method: Method, side: int) -> Parameters | None:
    """Open a shared model's weights, which come from a stranger.

    Args:
        data: the file of an announcement; None: there is none.
        method: its network is theirs, and its ``theta0_number`` belongs to their digest.
        side: of the network's input, px.

    Raises:
        AnnouncementError: other weights, of another network, or not finite.
    """
    if data is None:
        return None
    try:
        ensemble = weights_from_bytes(method.network, side, data)
    except ModelError as error:
        raise AnnouncementError(
            f"not the weights of a {method.network} of {side} px ({error.what})",
            remedy="ask the aggregator what it announced",
        ) from error
    if len(ensemble) != 1 or number_of(digest(ensemble[0])) != method.theta0_number:
        raise AnnouncementError(
            "not the weights that were announced", remedy="ask the aggregator for it again"
        )
    return ensemble[0]


def unknown_start(site: str, theta0_sha256: str, number: int) -> tuple[str, str]:
    """What is wrong, and what to do, where this machine has another θ0 than a bundle's."""
    if is_shared_model(theta0_sha256, number):
        return (
            f"the bundle of {site} was distilled for a shared model's weights "
            f"({theta0_sha256[:12]}…), which are not here",
            "copy theta0.safetensors of their announcement into the run's folder; bundles are "
            "pooled with it by gdshare aggregate --announcement alone",
        )
    return (
        f"the bundle of {site} was distilled for the announced θ0 {theta0_sha256[:12]}…, and this "
        "machine's torch draws another from its number",
        "pool it with the torch release of the hospital",
    )


def require_here(start: AnnouncedStart) -> Parameters:
    """The weights of an announced θ0 on this machine.

    Raises:
        AnnouncementError: another scheme draws them here, another torch draws others, or they are
            not a shared model's that fits the network.
        UsageError: no such network, or not of that side.
    """
    announced = start.announcement
    module = build(announced.network, announced.side)
    here = INITIALISERS[announced.network]
    if announced.initialiser != here:
        raise AnnouncementError(
            f"its θ0 is drawn by the scheme {announced.initialiser}, and here by {here}",
            remedy="use the same gdshare at both ends",
        )
    settings = {"network": announced.network, "theta0": "announced"}
    method = Method.model_validate({**settings, "theta0_number": announced.number})
    shared = shared_weights(start.weights, method, announced.side)
    theta0 = announced_theta0(method, module, shared)
    if digest(theta0) != start.theta0_sha256:
        raise AnnouncementError(
            f"this machine's torch draws another θ0 from the number {announced.number}",
            remedy="agree on one torch release",
        )
    return theta0
