"""``gdshare withdraw``: take a released bundle back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle.outbox import newest
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, has_terminal, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    DryRun,
    ask,
    print_facts,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, matches, require_match
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.ledger import Entry, open_ledger, read_ledger
from gdshare.release.own_key import require_bundles_key
from gdshare.release.publish import ledger_beside
from gdshare.release.withdraw import Released, find_release, find_withdrawal, released_bundles
from gdshare.release.withdraw import withdraw as withdraw_bundle
from gdshare.signing import fingerprint, load_private_key


def withdraw(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help=f"Its name, SITE-NUMBER, or at least the first {LEAST_DIGITS} digits of its "
            "digest; see gdshare ledger show.",
        ),
    ],
    key: Annotated[
        Path, typer.Option(envvar=variable("key"), help="The hospital's private key, NAME.key.")
    ],
    outbox: Annotated[
        Path,
        typer.Option(
            envvar=variable("outbox"), help="Folder from which the node hands bundles over."
        ),
    ],
    digest: Annotated[
        str | None,
        typer.Option(help=f"At least the first {LEAST_DIGITS} digits of its digest. Default: ask."),
    ] = None,
    why: Annotated[
        str, typer.Option(help="The reason, visible to whoever receives the withdrawal.")
    ] = "",
    by: Annotated[
        str | None,
        typer.Option(help="Your name for the ledger. Default: this computer's user."),
    ] = None,
    another_key: Annotated[
        bool,
        typer.Option(
            "--another-key",
            help="Allow another of the hospital's keys than the one that released it, such as its "
            "successor. The aggregator must trust that key.",
        ),
    ] = False,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Withdraw a released bundle: nobody may use it from now on.

    One person suffices, whatever the policy says. The bundle is deleted from the outbox, its number
    stays used, and a signed withdrawal replaces it, OUTBOX/SITE-NUMBER.withdrawal. The node
    hands that file over at the next request, or you can send it. Older bundles do not return: after
    the newest is withdrawn, the node hands over nothing else until a newer bundle is released. If
    interrupted, run it again.
    """
    path = ledger_beside(outbox)
    chosen = _released(read_ledger(path), bundle, outbox)
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    if not dry_run:
        _confirm(chosen, bundle, digest)
    with open_ledger(path) as ledger:
        released = _released(ledger.entries, bundle, outbox)
        if released != chosen:
            raise UsageError("its ledger changed meanwhile", outbox, "look at it, and run it again")
        entry = find_release(ledger.entries, released)
        signer = fingerprint(secret.public_key())
        require_bundles_key(outbox, entry, key, signer, another_key)
        if dry_run:
            would = {"would withdraw": released.name, "digest": released.digest}
            return print_facts(would | {"remaining": _remaining(outbox, released)}, as_json)
        before = find_withdrawal(ledger.entries, released)
        now, operator = datetime.now(UTC), operator_name(by)
        withdrawal = withdraw_bundle(released, why, outbox, ledger, operator, now, secret)
    facts = {
        "withdrawn": released.name,
        "first on": f"{before.at:%Y-%m-%d}" if before else None,
        "digest": released.digest,
        "withdrawal": str(withdrawal),
        "signed with": signer,
        "remaining": _remaining(outbox, released),
    }
    return print_facts(facts, as_json)


def _released(entries: list[Entry], name: str, outbox: Path) -> Released:
    """The released bundle of a name or of a digest's first digits."""
    bundles = released_bundles(entries)
    candidates = [
        bundle for bundle in bundles if bundle.name == name or matches(bundle.digest, name)
    ]
    if len(candidates) != 1:
        latest = ", ".join(bundle.name for bundle in bundles[-5:]) or "nothing"
        raise UsageError(
            f"matches {len(candidates)} released bundles",
            f"{name:.70}",
            f"the latest in the ledger of {outbox}: {latest}",
        )
    return candidates[0]


def _confirm(released: Released, name: str, digest: str | None) -> None:
    """Have the digest typed: names are easily mixed up."""
    if matches(released.digest, name) and digest is None:
        return
    if digest is None:
        if not has_terminal():
            raise UsageError(
                "there is no terminal to ask for the digest",
                remedy=f"give --digest, the first {LEAST_DIGITS} digits of the digest of "
                f"{released.name} in gdshare ledger show",
            )
        question = f"First {LEAST_DIGITS} digits of {released.name}'s digest"
        digest = ask(question)
    require_match(
        released.digest, digest, "--digest", f"see {released.name} in gdshare ledger show"
    )


def _remaining(outbox: Path, released: Released) -> str:
    """What the node hands over once this bundle is withdrawn."""
    bundle = newest(outbox, released.name.rpartition("-")[0])
    if bundle is None or bundle.name == released.name:
        return "nothing to hand over until a newer bundle is released"
    return f"{bundle.name} to hand over"


def register(app: typer.Typer) -> None:
    """Add ``withdraw`` to the app."""
    app.command()(withdraw)
