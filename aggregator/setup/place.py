"""Where everything lies on the aggregator's machine, kept in ``federation.json``."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import UsageError
from gdshare.plain_files import read_plain
from gdshare.signing import SITE

FILE: Final = "federation.json"
MAX_BYTES: Final = 64 * 1024
CA, CA_KEY, SERVER, SERVER_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
UNIT, NGINX, NFT = "gdshare-superlink.service", "superlink-nginx.conf", "gdshare-superlink.nft"
INSTALL, COMPOSE, LOGROTATE = "install.sh", "compose.yaml", "superlink.logrotate"
SITES: Final = "sites"
"""Folder of the hospitals' certificates, SITE.pem each."""
INSTALLED: Final = {
    UNIT: Path("/etc/systemd/system") / UNIT,
    NGINX: Path("/etc/nginx/conf.d/gdshare.conf"),
}
"""Files of the folder, and where install.sh copies them to."""

_WORD = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or not _WORD.fullmatch(str(path)):
        raise ValueError("write it in full, of letters, digits, dots, hyphens and underscores")
    return path


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise ValueError("is no host name")
    return name


_Path = Annotated[Path, AfterValidator(_absolute)]
_User = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
_Port = Annotated[int, Field(ge=1, le=65_535)]


class Place(BaseModel):
    """One aggregator's machine.

    Attributes:
        name: the aggregator's short name.
        host: the name by which the hospitals' nodes reach it.
        port: of nginx, open to the outside.
        superlink_port: of the SuperLink, on the loopback.
        folder: keys, certificates and the files of this set-up.
        state: the SuperLink's database.
        work: rounds, the trust folder and the ledger.
        logs: the SuperLink's log.
        bin: where gdshare and Flower are installed.
        user, nginx_user: of the SuperLink, and of nginx.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-federation/1"] = "gdshare-federation/1"
    name: Annotated[str, Field(pattern=f"^{SITE}$")]
    host: Annotated[str, AfterValidator(_host)]
    port: _Port = 8443
    superlink_port: _Port = 8000
    folder: _Path = Path("/etc/gdshare")
    state: _Path = Path("/var/lib/gdshare")
    work: _Path = Path("/srv/gdshare")
    logs: _Path = Path("/var/log/gdshare")
    bin: _Path = Path("/opt/gdshare/bin")
    user: _User = "gdshare"
    nginx_user: _User = "www-data"

    @property
    def superlink(self) -> str:
        """The SuperLink's address, for commands on this machine."""
        return f"127.0.0.1:{self.superlink_port}"

    def values(self) -> Mapping[str, str]:
        """What the templates want."""
        return {name: str(value) for name, value in self.model_dump().items()}


def place_of(**values: object) -> Place:
    """A place of checked values.

    Raises:
        UsageError: a value that cannot be used.
    """
    try:
        return Place.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        reason = first["msg"].removeprefix("Value error, ").lower()
        raise UsageError(reason, f"{option} {first['input']!s:.80}", "choose another") from error


def read_place(folder: Path) -> Place:
    """Read a set-up's ``federation.json``.

    Raises:
        UsageError: the folder is not one that ``gdshare federation init`` made.
    """
    try:
        return Place.model_validate_json(read_plain(folder / FILE, MAX_BYTES))
    except (OSError, ValidationError) as error:
        raise UsageError(
            "is no folder of gdshare federation init", folder, "give that folder"
        ) from error


def unit_words(unit: str, key: str = "ExecStart") -> list[str]:
    """The words of a unit's command line, or of an ``Environment``."""
    lines = unit.replace("\\\n", " ").splitlines()
    values = [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]
    return shlex.split(" ".join(values))
