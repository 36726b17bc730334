"""``gdshare federation doctor``: the aggregator's machine, examined from within."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.setup.commands.sign import FOLDER, Folder
from aggregator.setup.doctor import examine
from aggregator.setup.place import read_place
from gdshare.cli.findings import print_findings
from gdshare.cli.terminal import AsJson
from gdshare.config import variable
from gdshare.extras import require_extra


def doctor(
    folder: Folder = FOLDER,
    trust: Annotated[
        Path | None,
        typer.Option(envvar=variable("trust"), help="Folder of the hospitals' public keys."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine this machine, and say for each fault what to do; root sees most.

    Certificates (30 days ahead), keys, disk, versions, clock, the SuperLink, nginx, the firewall,
    and the nodes by their hospitals' names. Exits with 3 if there is a fault.
    """
    require_extra("federation")
    findings = examine(read_place(folder), trust, datetime.now(UTC))
    print_findings(findings, as_json, "federation")
