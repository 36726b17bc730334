"""The announcement of a θ0 for the next round: drawn from a number, or a round's model."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from aggregator.receipts import Signer
from aggregator.trust.bundle_history import TRAIN, lost_origin
from gdshare.announcement import AnnouncedStart, Announcement, announce, number_of
from gdshare.errors import TrustError, UsageError
from gdshare.ledger import Entry, Ledger, in_one_line
from gdshare.method import Method
from gdshare.model import load_model
from gdshare.networks import INITIALISERS, build, digest
from gdshare.theta0 import announced_theta0, shared_bytes

ANNOUNCE = "announce"


def announce_number(
    number: int, network: str, side: int, signer: Signer, now: datetime
) -> AnnouncedStart:
    """Announce the θ0 that is drawn from a number.

    Args:
        number: 0 to 2⁶³ - 1.
        network: a name in ``networks``.
        side: of its input, px.
        signer: the aggregator.
        now: UTC.

    Raises:
        UsageError: no such network, or not of that side.
    """
    module = build(network, side)
    settings = {"network": network, "theta0": "announced", "theta0_number": number}
    theta0 = announced_theta0(Method.model_validate(settings), module)
    return _signed(network, side, digest(theta0), number, None, signer, now)


def announce_model(
    folder: Path, entries: Sequence[Entry], signer: Signer, now: datetime
) -> tuple[AnnouncedStart, tuple[str, ...]]:
    """Announce the first network of a model that a round trained.

    Args:
        folder: the model.
        entries: of the aggregator's ledger.
        signer: the aggregator.
        now: UTC.

    Returns:
        the announcement, and the model's origin: the reasons of the ledger's lines about it.

    Raises:
        ModelError: not a model.
        UsageError: of a network that no training changes.
        TrustError: the ledger does not show its origin, or one of its bundles was withdrawn or
            taken back.
    """
    model = load_model(folder)[0]
    if model.network == "scattering":
        raise UsageError(
            "is of a scattering network, whose features no training changes",
            folder,
            "announce a number, or the model of another network",
        )
    digest_of_file = hashlib.sha256(model.to_bytes()).hexdigest()
    origin = _origin_of(digest_of_file, entries)
    if not origin:
        raise TrustError(
            "the ledger does not show what this model was trained from",
            folder,
            "announce the model of a round that was held with this trust folder",
        )
    if gone := lost_origin(entries, digest_of_file):
        raise TrustError(
            f"was trained with {', '.join(gone)}, which was withdrawn or taken back",
            folder,
            "hold a round without it, and announce that round's model",
        )
    weights, theta0 = shared_bytes(model)
    side, number = model.protocol.side, number_of(theta0)
    return _signed(model.network, side, theta0, number, weights, signer, now), origin


def record_announcement(
    start: AnnouncedStart,
    origin: Sequence[str],
    out: Path,
    ledger: Ledger,
    by: str,
    now: datetime,
) -> None:
    """Write an announcement's lines; by its origin a later withdrawal finds a shared model.

    Args:
        start: the announcement.
        origin: of a model, as ``announce_model`` gives it; empty where θ0 is drawn.
        out: the announcement's folder.
        ledger: the aggregator's, locked.
        by: who announces.
        now: UTC.
    """
    what, theta0 = in_one_line(str(out)), start.theta0_sha256
    for why in origin:
        ledger.write(now, TRAIN, by, what, theta0, why)
    why = in_one_line(f"θ0 of {start.announcement.network}, {start.text}")
    ledger.write(now, ANNOUNCE, by, what, theta0, why)


def _origin_of(digest_of_file: str, entries: Sequence[Entry]) -> tuple[str, ...]:
    """The reasons of the lines that say from which bundles a model was trained."""
    lines = (entry for entry in entries if entry.act == TRAIN and entry.digest == digest_of_file)
    return tuple(dict.fromkeys(entry.why for entry in lines))


def _signed(
    network: str,
    side: int,
    theta0_sha256: str,
    number: int,
    weights: bytes | None,
    signer: Signer,
    now: datetime,
) -> AnnouncedStart:
    announcement = Announcement(
        aggregator=signer.name,
        at=now.replace(microsecond=0),
        network=network,
        initialiser=INITIALISERS[network],
        side=side,
        number=number,
        weights=None if weights is None else hashlib.sha256(weights).hexdigest(),
    )
    return announce(announcement, theta0_sha256, weights, signer.key)
