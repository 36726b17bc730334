"""Runs Flower's ClientApp process such that only the code installed here can run.

A Flower app travels as a FAB, a zip that may hold Python files; Flower puts its folder first on the
import path and loads whatever object its ``pyproject.toml`` names. So a SuperLink could run any
code at a hospital. Here a FAB is opened before Flower sees it and must hold no code: one
``pyproject.toml``, naming this package's own ClientApp, and Flower's list of contents.

``python -m hospital_node`` has SuperNode start this module in place of ``flwr-clientapp``. It
relies on one internal name of Flower, and refuses to start if that name is gone. See
docs/adr/0003-flower-runs-installed-code.md.
"""

import io
import logging
import os
import re
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdshare.errors import FederationError
from gdshare.logs import start_logging_from

PUBLISHER = "gdshare"
NAME = "gdshare-round"
CLIENT_APP = "hospital_node.client_app:app"
DESCRIPTION = "pyproject.toml"
CONTENTS = [".info/CONTENT", DESCRIPTION]
MAX_FILE_BYTES = 64 * 1024
INSTALLER = "install_from_fab"
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")

log = logging.getLogger(__name__)


def require_no_code(fab: bytes) -> None:
    """Refuse a FAB that is more than a name for the code installed here.

    The version must be digits and dots because Flower makes it part of a path.

    Raises:
        FederationError: it has another file, or names another app.
    """
    try:
        _require_own(_description(fab))
    except FederationError:
        raise
    except Exception as error:  # a stranger's zip can make zipfile raise nearly anything
        raise FederationError("the app is not a readable FAB") from error


def _description(fab: bytes) -> dict[str, Any]:
    """The app's ``pyproject.toml``, if the app is nothing else."""
    with zipfile.ZipFile(io.BytesIO(fab)) as archive:
        entries = archive.infolist()
        if sorted(entry.filename for entry in entries) != CONTENTS:
            raise FederationError("the app holds files of its own, which never run here")
        if max(entry.file_size for entry in entries) > MAX_FILE_BYTES:
            raise FederationError("the app's description is too large")
        return tomllib.loads(archive.read(DESCRIPTION).decode())


def _require_own(description: dict[str, Any]) -> None:
    try:
        project, app = description["project"], description["tool"]["flwr"]["app"]
        names = (app["publisher"], project["name"], app["components"]["clientapp"])
        version = project["version"]
        agent = "agentapp" in app["components"]
    except (KeyError, TypeError) as error:
        raise FederationError("the app's description lacks a field") from error
    if names != (PUBLISHER, NAME, CLIENT_APP) or agent:
        raise FederationError("the app names other code than the one installed here")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise FederationError("the app's version is not a version")


def guarded(install: Callable[..., Path]) -> Callable[..., Path]:
    """Flower's installer of FABs, with ``require_no_code`` before it."""

    def check_then_install(fab: bytes, *rest: Any, **options: Any) -> Path:
        try:
            require_no_code(fab)
        except FederationError as error:
            log.warning("refused an app from the SuperLink: %s", error)
            raise
        return install(fab, *rest, **options)

    return check_then_install


def main() -> None:
    """Take the place of ``flwr-clientapp``, with its arguments."""
    # Imported here: nothing of Flower runs before this line, and this package is already loaded
    # when Flower extends the import path.
    from flwr.supernode.cli import flwr_clientapp  # noqa: PLC0415
    from flwr.supernode.runtime import run_clientapp as runtime  # noqa: PLC0415

    import hospital_node.client_app  # noqa: F401, PLC0415

    names = vars(runtime)
    if not callable(names.get(INSTALLER)):
        sys.exit("this Flower installs apps in a way the guard does not know; use Flower 1.41")
    names[INSTALLER] = guarded(names[INSTALLER])
    start_logging_from(os.environ)
    flwr_clientapp()


if __name__ == "__main__":
    main()
