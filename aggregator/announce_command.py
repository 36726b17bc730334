"""``gdshare announce``: which initial weights the next round's bundles are to be distilled for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.receipts import Signer
from aggregator.signer import check_name
from aggregator.trust.commands.options import TrustFolder
from gdshare.announcement import write_announcement
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_facts, print_line
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.ledger import open_ledger
from gdshare.signing import load_private_key
from gdshare.trust.keys import ledger_beside


def announce(
    out: Annotated[Path, typer.Option(help="New folder for the announcement.")],
    trust: TrustFolder,
    key: Annotated[
        Path,
        typer.Option(envvar=variable("key"), help="The aggregator's private key, NAME.key."),
    ],
    name: Annotated[
        str, typer.Option(envvar=variable("name"), help="The aggregator's short name.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="ROUND/model",
            help="A round's model, of which the first network is θ0. Each hospital must consent.",
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Instead: the number that θ0 is drawn from."),
    ] = None,
    network: Annotated[
        str, typer.Option(help="With --number: convnet, resnet18 or scattering.")
    ] = "convnet",
    side: Annotated[
        int, typer.Option(min=8, max=512, help="With --number: side of the network's input, px.")
    ] = 32,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Announce which θ0 the next round's bundles are to be distilled for.

    Send the folder to every hospital, which consents to it (gdshare consent) and distils for it
    (gdshare distill --announcement); then hold the round with gdshare aggregate --announcement.
    Nothing asks for an announcement: without one, a round's θ0 are as its hospitals distilled.
    """
    require_extra("distill")
    from aggregator.announcing import (  # noqa: PLC0415 - torch takes seconds to load
        announce_model,
        announce_number,
        record_announcement,
    )

    check_name(name)
    if (model is None) == (number is None):
        raise UsageError("exactly one of the two is needed", "--model, --number")
    if out.exists():
        raise UsageError("is there already", out, "choose a new folder")
    signer = Signer(name, load_private_key(key, read_passphrase(passphrase_file, confirm=False)))
    now = datetime.now(UTC)
    with open_ledger(ledger_beside(trust)) as ledger:
        if model is not None:
            start, origin = announce_model(model, ledger.entries, signer, now)
        else:
            start, origin = announce_number(number or 0, network, side, signer, now), ()
        record_announcement(start, origin, out, ledger, operator_name(), now)
        write_announcement(out, start)
    facts = {
        "announced": out,
        "θ0" if not as_json else "theta0": start.text,
        "of": f"{start.announcement.network}, {start.announcement.side} px",
        "digest": start.theta0_sha256,
    }
    print_facts(facts, as_json)
    if not as_json:
        print_line("send the folder to every hospital, which looks at it with gdshare consent")


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(announce)
