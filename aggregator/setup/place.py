"""Where everything lies on the aggregator's machine, kept in ``federation.json``."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ValidationError

from gdshare.deploy.place import AbsolutePath, Place, Port, UserName
from gdshare.errors import UsageError
from gdshare.plain_files import read_plain
from gdshare.signing.names import SiteName

FILE: Final = "federation.json"
MAX_BYTES: Final = 64 * 1024
CA, CA_KEY, SERVER, SERVER_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
UNIT, NGINX, NFT = "gdshare-superlink.service", "superlink-nginx.conf", "gdshare-superlink.nft"
INSTALL, COMPOSE, LOGROTATE = "install.sh", "compose.yaml", "superlink.logrotate"
REVOKED: Final = "revoked.pem"
SITES: Final = "sites"
"""Folder of what hospitals are sent, SITE.pem each."""
ISSUED: Final = "issued"
"""Folder of every certificate of a hospital that was signed, NUMBER.pem each."""
INSTALLED: Final = {
    UNIT: Path("/etc/systemd/system") / UNIT,
    NGINX: Path("/etc/nginx/conf.d/gdshare.conf"),
}
"""Files of the folder, and where install.sh copies them to."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise ValueError("is no host name")
    return name


class FederationPlace(Place):
    """One aggregator's machine; rounds, the trust folder and the ledger lie in ``work``.

    Attributes:
        name: the aggregator's short name.
        host: the name by which the hospitals' nodes reach it.
        port: of nginx, open to the outside.
        superlink_port: of the SuperLink, on the loopback.
        state: the SuperLink's database.
        logs: the SuperLink's log.
        user, nginx_user: of the SuperLink, and of nginx.
    """

    format: Literal["gdshare-federation/1"] = "gdshare-federation/1"
    name: SiteName
    host: Annotated[str, AfterValidator(_host)]
    port: Port = 8443
    superlink_port: Port = 8000
    state: AbsolutePath = Path("/var/lib/gdshare")
    logs: AbsolutePath = Path("/var/log/gdshare")
    user: UserName = "gdshare"
    nginx_user: UserName = "www-data"

    @property
    def superlink(self) -> str:
        """The SuperLink's address, for commands on this machine."""
        return f"127.0.0.1:{self.superlink_port}"


def read_place(folder: Path) -> FederationPlace:
    """Read a set-up's ``federation.json``.

    Raises:
        UsageError: the folder is not one that ``gdshare federation init`` made.
    """
    try:
        return FederationPlace.model_validate_json(read_plain(folder / FILE, MAX_BYTES))
    except (OSError, ValidationError) as error:
        raise UsageError(
            "is no folder of gdshare federation init", folder, "give that folder"
        ) from error
