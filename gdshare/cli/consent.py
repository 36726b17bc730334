"""``gdshare consent``: agree to the θ0 that an aggregator announced, or take that back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.announcement import read_announcement
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, DryRun, print_facts, print_line
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.ledger import open_ledger
from gdshare.release.consent import end_consent, record_consent
from gdshare.release.publish import ledger_beside
from gdshare.signing import fingerprint, load_public_key


def consent(
    announcement: Annotated[
        Path, typer.Argument(metavar="ANNOUNCEMENT", help="The folder that the aggregator sent.")
    ],
    key: Annotated[
        Path,
        typer.Option(help="The aggregator's public key, NAME.pub, compared over the phone."),
    ],
    outbox: Annotated[
        Path, typer.Option(envvar=variable("outbox"), help="The outbox that bundles leave from.")
    ],
    end: Annotated[
        str | None,
        typer.Option(
            metavar="WHY", help="Take the consent to this announcement back, for this reason."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Your name for the ledger. Default: this computer's user."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Consent to the initial weights that an aggregator announced for the next round.

    Weights of a shared model are whatever their maker wrote, and could be made so that images that
    are distilled for them give away more about patients. Hence images for a shared model leave only
    while the ledger has a consent to it, and the node uses it only then. Attack the images as
    usual (gdshare audit): its attacks train from the same weights. Nothing is distilled here, and
    weights are not opened.
    """
    start = read_announcement(announcement, load_public_key(key))
    if end is not None and not end.strip():
        raise UsageError("is empty", "--end", "say why")
    signer, announced = fingerprint(load_public_key(key)), start.announcement
    facts: dict[str, object] = {
        "aggregator": announced.aggregator,
        "announced": f"{announced.at:%Y-%m-%d %H:%M:%S} UTC",
        "θ0" if not as_json else "theta0": start.text,
        "of": f"{announced.network}, {announced.side} px",
        "digest": start.theta0_sha256,
    }
    if not dry_run:
        now, operator = datetime.now(UTC), operator_name(by)
        with open_ledger(ledger_beside(outbox)) as ledger:
            if end is not None:
                end_consent(start.theta0_sha256, outbox, ledger, operator, now, end)
                facts["consent"] = "ended"
            else:
                kept = record_consent(start, signer, outbox, ledger, operator, now)
                facts |= {"consent": "recorded", "kept": kept}
    print_facts(facts, as_json)
    if "kept" in facts and not as_json:
        print_line(f"distil with  gdshare distill --announcement {facts['kept']}")


def register(app: typer.Typer) -> None:
    """Add ``consent`` to the app."""
    app.command()(consent)
