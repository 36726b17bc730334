"""``gdshare receipts``: signing a round's receipts, at its end or at any time afterwards."""

from pathlib import Path
from typing import Annotated

import typer

from aggregator.flower.folder import RECEIPTS, RECORD
from aggregator.flower.order import read_order
from aggregator.receipts import Signer, sign_since
from aggregator.record import read_record
from aggregator.signer import check_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.signing import load_private_key


def receipts(
    folder: Annotated[Path, typer.Argument(metavar="ROUND", help="The --out of a round.")],
    key: Annotated[
        Path,
        typer.Option(envvar=variable("key"), help="The aggregator's private key, NAME.key."),
    ],
    name: Annotated[
        str,
        typer.Option(envvar=variable("name"), help="The aggregator's short name."),
    ],
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Sign a receipt for each bundle that a round admitted, refused or quarantined.

    As ``gdshare aggregate --key`` does at its end, for a round that was held without a key, or
    whose command was killed. The receipts lie in ROUND/receipts, each to be sent to its hospital.
    Those that are there already are signed again and say the same.
    """
    check_name(name)
    order = read_order(folder)
    with read_record(folder / RECORD) as record:
        before, end = record.ledger_before, record.ledger_end
    if before is None:
        raise UsageError("the round has not begun", folder, "hold it first")
    signer = Signer(name, load_private_key(key, read_passphrase(passphrase_file, confirm=False)))
    names = sign_since(before, order.ledger, folder / RECEIPTS, signer, end)
    facts = {"receipts": folder / RECEIPTS, "signed": names if as_json else len(names)}
    print_facts(facts, as_json)


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(receipts)
