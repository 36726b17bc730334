"""The folder of a federation: authority, server certificate, and what starts the SuperLink.

The texts come from ``aggregator/templates``; ``docs/deploy`` shows them as filled in by default.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from aggregator.setup.place import (
    CA,
    CA_KEY,
    COMPOSE,
    FILE,
    INSTALL,
    LOGROTATE,
    NFT,
    NGINX,
    SERVER,
    SERVER_KEY,
    SITES,
    UNIT,
    Place,
    unit_words,
)
from gdshare.deploy.certificates import (
    Authority,
    certificate_pem,
    new_tls_key,
    private_pem,
)
from gdshare.deploy.template import fill
from gdshare.errors import UsageError
from gdshare.storage import new_folder, write_bytes

PACKAGE = "aggregator"
TEMPLATES = {
    UNIT: UNIT,
    NGINX: NGINX,
    NFT: NFT,
    LOGROTATE: LOGROTATE,
    INSTALL: "aggregator-install.sh",
}
"""File -> its template; the compose file is made from the unit besides."""
IMAGE_BIN = "/opt/gdshare/bin"
"""Where docs/deploy/Dockerfile installs gdshare."""


def texts(place: Place) -> Mapping[str, str]:
    """Every text of the set-up, by file name."""
    filled = {file: fill(PACKAGE, name, place.values()) for file, name in TEMPLATES.items()}
    inside = fill(PACKAGE, UNIT, {**place.values(), "bin": IMAGE_BIN})
    values = {**place.values(), **in_container(inside)}
    return {**filled, COMPOSE: fill(PACKAGE, "aggregator-compose.yaml", values)}


def in_container(unit: str) -> Mapping[str, str]:
    """A unit's command and environment, in the words of a compose file."""
    return {
        "command": json.dumps(unit_words(unit)),
        "environment": json.dumps(unit_words(unit, "Environment")),
    }


def write_federation(place: Place, passphrase: bytes, now: datetime) -> Authority:
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
    try:
        with new_folder(place.folder, 0o755) as folder:
            for name, text in texts(place).items():
                write_bytes(folder / name, text.encode())
            write_bytes(folder / CA, certificate_pem(authority.certificate))
            write_bytes(folder / CA_KEY, private_pem(authority.key, passphrase), 0o600)
            write_bytes(folder / SERVER, certificate_pem(certificate))
            write_bytes(folder / SERVER_KEY, private_pem(key), 0o600)
            write_bytes(folder / FILE, (place.model_dump_json(indent=2) + "\n").encode())
            (folder / SITES).mkdir()
    except FileExistsError as error:
        raise UsageError(
            "is not empty", place.folder, "choose a new folder; keys are never overwritten"
        ) from error
    return authority
