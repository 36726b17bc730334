"""An aggregator announces the θ0 of a round: a signed file and, of a shared model, its weights.

::

    ANNOUNCEMENT/
        announcement.json     which θ0, for which network, by whom; signed by the aggregator
        theta0.safetensors    the weights, where they are those of a shared model

A θ0 that is drawn from a number is chosen by nobody: whoever has the number draws it again. The
weights of a model are whatever their maker wrote, and weights can be made so that what is trained
from them gives away more of its data (Fowl et al., "Robbing the fed", ICLR 2022). Hence a hospital
consents to a shared model before its images leave (``gdshare.release.consent``).

A shared model has a number too: the first 63 bits of its weights' digest. So a bundle says in the
fields of its format which of both it was distilled for (docs/adr/0052-an-announced-start.md).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import AnnouncementError, BundleError, UsageError
from gdshare.plain_files import read_plain
from gdshare.signing import canonical
from gdshare.signing.envelope import read_envelope
from gdshare.signing.names import Digest, Instant, SiteName
from gdshare.signing.statement import Statement, read_statement, sign_statement, verify_statement
from gdshare.storage import new_folder, write_bytes

FILE, WEIGHTS = "announcement.json", "theta0.safetensors"
SUBJECT: Final = "gdshare-theta0"
PREDICATE_TYPE: Final = "https://gdshare/announcement/v1"
MAX_BYTES: Final = 16 * 1024
MAX_WEIGHTS: Final = 64 * 1024**2
"""A ResNet18 has 45 MB of weights."""
_SEND_AGAIN: Final = "ask the aggregator for it again"


class Announcement(BaseModel):
    """What an aggregator announces.

    Attributes:
        aggregator: its short name.
        at: when, UTC, in whole seconds.
        network: the name of the network that θ0 is of.
        initialiser: name and version of the scheme that draws it.
        side: of the network's input, px.
        number: that θ0 is drawn from; of a shared model's weights ``number_of`` their digest.
        weights: SHA-256 of the file of a shared model's weights; None where θ0 is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    aggregator: SiteName
    at: Instant
    network: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    initialiser: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}/[1-9][0-9]{0,3}$")]
    side: Annotated[int, Field(ge=8, le=512)]
    number: Annotated[int, Field(ge=0, lt=2**63)]
    weights: Digest | None


@dataclass(frozen=True)
class AnnouncedStart:
    """A θ0 that was announced.

    Attributes:
        announcement: the content of the signed file.
        theta0_sha256: digest of the weights, as ``gdshare.networks.digest`` gives it.
        signed: the signed file.
        weights: a shared model's weights, safetensors; None where θ0 is drawn from a number.
    """

    announcement: Announcement
    theta0_sha256: str
    signed: bytes
    weights: bytes | None

    @property
    def text(self) -> str:
        """Which θ0 it is, in words."""
        if self.weights is None:
            return f"drawn from the number {self.announcement.number}"
        return f"the weights of a shared model, {len(self.weights):,} bytes"


def number_of(theta0_sha256: str) -> int:
    """The number of a shared model's weights, below 2⁶³: nothing is drawn from it."""
    return int(theta0_sha256[:16], 16) >> 1


def is_shared_model(theta0_sha256: str | None, number: int) -> bool:
    """Whether a manifest's θ0 is a shared model's weights, and not drawn from its number.

    Args:
        theta0_sha256: of the manifest; None: θ0 was random.
        number: ``theta0_number`` of its method.
    """
    return theta0_sha256 is not None and number == number_of(theta0_sha256)


def announce(
    announcement: Announcement,
    theta0_sha256: str,
    weights: bytes | None,
    key: ec.EllipticCurvePrivateKey,
) -> AnnouncedStart:
    """Sign an announcement."""
    signed = sign_statement(_statement(announcement, theta0_sha256), key)
    return AnnouncedStart(announcement, theta0_sha256, signed, weights)


def write_announcement(folder: Path, start: AnnouncedStart) -> None:
    """Write the folder, whole or not at all.

    Raises:
        UsageError: there is something at its place already.
    """
    try:
        with new_folder(folder) as aside:
            write_bytes(aside / FILE, start.signed)
            if start.weights is not None:
                write_bytes(aside / WEIGHTS, start.weights)
    except FileExistsError as error:
        raise UsageError("is there already", folder, "choose a new folder") from error


def read_announcement(folder: Path, key: ec.EllipticCurvePublicKey | None = None) -> AnnouncedStart:
    """Read an announcement; its weights are those that it names, and are not opened here.

    Args:
        folder: as it was sent.
        key: the aggregator's; None: whose signature it is, is not checked.

    Raises:
        AnnouncementError: damaged, forged, or with other weights than it names.
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError("no such folder", folder, "give the folder that was sent")
    path = folder / FILE
    try:
        signed = read_plain(path, MAX_BYTES)
        if key is None:
            statement = read_statement(read_envelope(signed, FILE).payload, FILE)
        else:
            statement = verify_statement(signed, key, FILE, MAX_BYTES)
        announcement = Announcement.model_validate(statement.predicate)
        expected = _statement(announcement, statement.digest)
        canonical.require_same(statement.to_bytes(), expected.to_bytes(), FILE)
    except OSError as error:
        raise AnnouncementError(
            f"no announcement here ({error.strerror})", path, "give the folder that was sent"
        ) from error
    except ValidationError as error:
        raise AnnouncementError("not an announcement", path, _SEND_AGAIN) from error
    except BundleError as error:
        raise AnnouncementError(
            f"not a sound announcement ({type(error).__name__})", path, _SEND_AGAIN
        ) from error
    shared = announcement.weights is not None
    if shared != is_shared_model(statement.digest, announcement.number):
        raise AnnouncementError("its number and its weights do not go together", path, _SEND_AGAIN)
    weights = _weights(folder, announcement.weights) if announcement.weights else None
    return AnnouncedStart(announcement, statement.digest, signed, weights)


def _weights(folder: Path, sha256: str) -> bytes:
    path = folder / WEIGHTS
    try:
        weights = read_plain(path, MAX_WEIGHTS)
    except OSError as error:
        raise AnnouncementError(
            f"the weights cannot be read ({error.strerror})", path, "copy the whole folder"
        ) from error
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise AnnouncementError("not the weights that were announced", path, _SEND_AGAIN)
    return weights


def _statement(announcement: Announcement, theta0_sha256: str) -> Statement:
    predicate = announcement.model_dump(mode="json")
    return Statement(SUBJECT, theta0_sha256, PREDICATE_TYPE, predicate)
