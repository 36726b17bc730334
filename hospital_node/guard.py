"""Runs Flower's ClientApp process so that only the code installed here can run.

A Flower app travels as a FAB, a zip that may hold Python files; Flower puts its folder first on the
import path and loads whatever object its ``pyproject.toml`` names. So a SuperLink could run any
code at a hospital. Here a FAB is opened before Flower sees it and must hold no code: one
``pyproject.toml``, naming this package's own ClientApp, and Flower's list of contents.

``python -m hospital_node`` has SuperNode start this module in place of ``flwr-clientapp``. It
relies on one internal name of Flower, and refuses to start where that name is gone. See
docs/adr/0003-flower-runs-installed-code.md.
"""

import io
import re
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdshare.errors import FederationError

PUBLISHER = "gdshare"
NAME = "gdshare-round"
CLIENT_APP = "hospital_node.client_app:app"
DESCRIPTION = "pyproject.toml"
CONTENTS = [".info/CONTENT", DESCRIPTION]
MAX_FILE_BYTES = 64 * 1024
INSTALLER = "install_from_fab"
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")


def require_no_code(fab: bytes) -> None:
    """Refuse a FAB that is more than a name for the code installed here.

    The version is held to digits and dots because Flower makes it part of a path.

    Raises:
        FederationError: another file in it, or another app named.
    """
    try:
        _require_own(_description(fab))
    except FederationError:
        raise
    except Exception as error:  # a stranger's zip can make zipfile raise nearly anything
        raise FederationError("the app is not a readable FAB") from error


def _description(fab: bytes) -> dict[str, Any]:
    """The app's ``pyproject.toml``, where that is all there is."""
    with zipfile.ZipFile(io.BytesIO(fab)) as archive:
        entries = archive.infolist()
        if sorted(entry.filename for entry in entries) != CONTENTS:
            raise FederationError("the app holds files of its own, which never run here")
        if max(entry.file_size for entry in entries) > MAX_FILE_BYTES:
            raise FederationError("the app's description is too large")
        return tomllib.loads(archive.read(DESCRIPTION).decode())


def _require_own(described: dict[str, Any]) -> None:
    try:
        project, app = described["project"], described["tool"]["flwr"]["app"]
        named = (app["publisher"], project["name"], app["components"]["clientapp"])
        version = project["version"]
        agent = "agentapp" in app["components"]
    except (KeyError, TypeError) as error:
        raise FederationError("the app's description lacks a field") from error
    if named != (PUBLISHER, NAME, CLIENT_APP) or agent:
        raise FederationError("the app names other code than the one installed here")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise FederationError("the app's version is not a version")


def guarded(install: Callable[..., Path]) -> Callable[..., Path]:
    """Flower's installer of FABs, looking inside first."""

    def look_then_install(fab: bytes, *rest: Any, **options: Any) -> Path:
        require_no_code(fab)
        return install(fab, *rest, **options)

    return look_then_install


def main() -> None:
    """Take the place of ``flwr-clientapp``, with its arguments."""
    # Imported here: before this line nothing of Flower runs, and what we name is already loaded
    # when Flower extends the import path.
    from flwr.supernode.cli import flwr_clientapp  # noqa: PLC0415
    from flwr.supernode.runtime import run_clientapp as runtime  # noqa: PLC0415

    import hospital_node.client_app  # noqa: F401, PLC0415

    names = vars(runtime)
    if not callable(names.get(INSTALLER)):
        sys.exit("this Flower installs apps in a way the guard does not know; use Flower 1.41")
    names[INSTALLER] = guarded(names[INSTALLER])
    flwr_clientapp()


if __name__ == "__main__":
    main()
