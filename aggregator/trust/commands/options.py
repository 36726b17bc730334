"""Options that the commands of ``gdshare trust`` share."""

from pathlib import Path
from typing import Annotated

import typer

from gdshare.config import variable

TrustFolder = Annotated[
    Path,
    typer.Option(
        "--trust",
        envvar=variable("trust"),
        help="Folder of the hospitals' public keys, SITE.pub each.",
    ),
]
By = Annotated[str | None, typer.Option(help="Who decides. Without it: this computer's user name.")]
