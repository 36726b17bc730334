"""Announcements of a θ0: of a shared model whose weights are drawn here, or of a number."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from site_kit import METHOD, NOW, PROTOCOL

from gdshare.announcement import (
    AnnouncedStart,
    Announcement,
    announce,
    number_of,
    write_announcement,
)
from gdshare.method import Method
from gdshare.model import Model
from gdshare.networks import INITIALISERS, Parameters, build, digest, draw
from gdshare.protocol import Protocol
from gdshare.seeding import torch_generator
from gdshare.theta0 import announced_theta0, shared_bytes


def shared_theta0(seed: int = 5, side: int = PROTOCOL.side) -> Parameters:
    """The weights of a ConvNet that nobody can draw from a public number."""
    return draw("convnet", build("convnet", side), torch_generator(seed, "a shared model"))


def of_model(
    key: ec.EllipticCurvePrivateKey, seed: int = 5, side: int = PROTOCOL.side, **changes: object
) -> AnnouncedStart:
    """An announcement of ``shared_theta0``."""
    model = Model("convnet", Protocol(side=side), (shared_theta0(seed, side),))
    weights, theta0 = shared_bytes(model)
    return announce(_announcement(side, number_of(theta0), weights, changes), theta0, weights, key)


def of_number(
    key: ec.EllipticCurvePrivateKey, number: int = 7, side: int = PROTOCOL.side, **changes: object
) -> AnnouncedStart:
    """An announcement of the ConvNet's θ0 of a number."""
    method = METHOD.model_copy(update={"theta0": "announced", "theta0_number": number})
    theta0 = digest(announced_theta0(method, build("convnet", side)))
    return announce(_announcement(side, number, None, changes), theta0, None, key)


def _announcement(
    side: int, number: int, weights: bytes | None, changes: dict[str, object]
) -> Announcement:
    fields = {
        "aggregator": "tokyo",
        "at": NOW,
        "network": "convnet",
        "initialiser": INITIALISERS["convnet"],
        "side": side,
        "number": number,
        "weights": None if weights is None else hashlib.sha256(weights).hexdigest(),
    }
    return Announcement.model_validate({**fields, **changes})


def sent(folder: Path, start: AnnouncedStart) -> Path:
    write_announcement(folder, start)
    return folder


def distilled_for(start: AnnouncedStart) -> dict[str, object]:
    """What a manifest says of images that were distilled for an announced θ0."""
    values = METHOD.model_dump(exclude={"theta0", "theta0_number"})
    announced = {"theta0": "announced", "theta0_number": start.announcement.number}
    return {"method": Method(**values, **announced), "theta0_sha256": start.theta0_sha256}
