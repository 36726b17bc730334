"""The folder of a federation: authority, server certificate, and what starts the SuperLink.

The texts come from ``aggregator/templates``; ``docs/deploy`` shows them as filled in by default.
"""

from collections.abc import Mapping
from datetime import datetime

from aggregator.setup.place import (
    CA,
    CA_KEY,
    COMPOSE,
    FILE,
    INSTALL,
    ISSUED,
    LOGROTATE,
    NFT,
    NGINX,
    REVOKED,
    SERVER,
    SERVER_KEY,
    SITES,
    UNIT,
    FederationPlace,
)
from aggregator.setup.revocations import NOBODY
from gdshare.deploy.certificates import (
    Authority,
    certificate_pem,
    new_tls_key,
    private_pem,
)
from gdshare.deploy.place import new_place
from gdshare.deploy.template import fill
from gdshare.deploy.unit import IMAGE_BIN, in_container
from gdshare.storage import write_bytes

PACKAGE = "aggregator"
TEMPLATES = {
    UNIT: UNIT,
    NGINX: NGINX,
    NFT: NFT,
    LOGROTATE: LOGROTATE,
    INSTALL: "aggregator-install.sh",
}
"""File -> its template; the compose file is made from the unit besides."""


def texts(place: FederationPlace) -> Mapping[str, str]:
    """Every text of the set-up, by file name."""
    filled = {file: fill(PACKAGE, name, place.values()) for file, name in TEMPLATES.items()}
    inside = fill(PACKAGE, UNIT, {**place.values(), "bin": IMAGE_BIN})
    values = {**place.values(), **in_container(inside)}
    return {**filled, COMPOSE: fill(PACKAGE, "aggregator-compose.yaml", values)}


def write_federation(place: FederationPlace, passphrase: bytes, now: datetime) -> Authority:
    """Make the folder, whole or not at all.

    Args:
        place: where everything lies; its ``folder`` must be missing or empty.
        passphrase: encrypts the authority's key.
        now: UTC, for the certificates.

    Returns:
        The authority.

    Raises:
        UsageError: there is something in the folder.
    """
    authority, key = Authority.new(f"{place.name} authority", now), new_tls_key()
    certificate = authority.server(place.host, key.public_key(), now)
    with new_place(place.folder) as folder:
        for name, text in texts(place).items():
            write_bytes(folder / name, text.encode())
        write_bytes(folder / CA, certificate_pem(authority.certificate))
        write_bytes(folder / CA_KEY, private_pem(authority.key, passphrase), 0o600)
        write_bytes(folder / SERVER, certificate_pem(certificate))
        write_bytes(folder / SERVER_KEY, private_pem(key), 0o600)
        write_bytes(folder / FILE, (place.model_dump_json(indent=2) + "\n").encode())
        write_bytes(folder / REVOKED, NOBODY.signed(authority, now))
        (folder / SITES).mkdir()
        (folder / ISSUED).mkdir()
    return authority
