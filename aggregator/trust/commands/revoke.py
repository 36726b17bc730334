"""``gdshare trust revoke``: end a key, and say since when it was no longer the hospital's."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.trust.bundle_history import (
    ADMIT,
    counted_entries,
    first_disowned_line,
    models_trained_with,
    signed_with,
    withdrawn_bundles,
)
from aggregator.trust.commands.options import By, TrustFolder
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import (
    AsJson,
    print_json,
    print_line,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, matches
from gdshare.errors import TrustError, UsageError
from gdshare.ledger import Entry, in_one_line, open_ledger
from gdshare.signing import read_key_file, read_revocation
from gdshare.trust.key_history import DISOWN, REVOKE, from_line, revoked_keys
from gdshare.trust.keys import TrustedKey, ledger_beside, load_trust

_DIGITS = re.compile(r"[0-9A-Fa-f\s]*")


def revoke(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT|FILE",
            help=f"Of the key, or the first {LEAST_DIGITS} digits or more (see gdshare trust "
            "list); or the file of gdshare keys revoke, which the hospital sent.",
        ),
    ],
    trust: TrustFolder,
    why: Annotated[
        str | None, typer.Option(help="The reason, for the ledger; the hospital's file has it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="LINE|SITE-NUMBER",
            help="From when on the key was no longer the hospital's: a line of the ledger, or the "
            "first bundle that was not the hospital's, such as st-mary-5. What was admitted of the "
            "key from there on loses its admission. May be given later too.",
        ),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Trust nothing new that a key signs, from now on.

    Bundles of it that were admitted before stay good and count as the site's newest, by the
    ledger's order: whatever time a bundle claims, one that comes now is refused. If some of them
    were a thief's, say so by --since. A file that the key itself has signed is proof enough: a
    thief could end no other key than the one he stole.
    """
    digits, reason = _target(target, why)
    key = _key_of(trust, digits)
    with open_ledger(ledger_beside(trust)) as ledger:
        act, text = _revocation(key, ledger.entries, reason, since)
        before = _admissions(key, ledger.entries)
        now = datetime.now(UTC)
        ledger.write(now, act, operator_name(by), key.site, key.fingerprint, in_one_line(text))
        entries = tuple(ledger.entries)
    after = _admissions(key, entries)
    if as_json:
        return print_json(_as_data(key, before, after, entries))
    print_line(f"revoked     {key.path}")
    for entry in after:
        print_line(f"still good  {entry.what}, line {entry.number} of the ledger")
    for entry in before:
        if entry not in after:
            print_line(f"taken back  {entry.what}, line {entry.number} of the ledger")
            for model in models_trained_with(entries, entry.what, str(entry.digest)):
                print_line(f"  retrain or drop  {model.what}, of {model.at:%Y-%m-%d}")
    return None


def _as_data(
    key: TrustedKey, before: Sequence[Entry], after: Sequence[Entry], entries: Sequence[Entry]
) -> dict[str, object]:
    lost = [entry for entry in before if entry not in after]
    return {
        "revoked": str(key.path),
        "fingerprint": key.fingerprint,
        "still_good": [entry.what for entry in after],
        "taken_back": [entry.what for entry in lost],
        "retrain_or_drop": [
            model.what
            for entry in lost
            for model in models_trained_with(entries, entry.what, str(entry.digest))
        ],
    }


def _target(target: str, why: str | None) -> tuple[str, str]:
    """The key's first digits, and the reason: the operator's, or that in the holder's file."""
    if _DIGITS.fullmatch(target):
        if why is None or not why.strip():
            raise UsageError("is empty", "--why", "give the reason; a hospital's file has its own")
        return target, why
    revocation = read_revocation(read_key_file(Path(target)), target)
    reason = f"its holder says: {revocation.why}"
    return revocation.fingerprint, reason if why is None else f"{why} ({reason})"


def _key_of(trust: Path, digits: str) -> TrustedKey:
    keys = [key for key in load_trust(trust).keys if matches(key.fingerprint, digits)]
    if len(keys) != 1:
        raise UsageError(
            f"{len(keys)} keys of {trust} begin so", f"{digits:.70}", "see gdshare trust list"
        )
    return keys[0]


def _revocation(
    key: TrustedKey, entries: Sequence[Entry], reason: str, since: str | None
) -> tuple[str, str]:
    """The act to write, and its reason."""
    if since is not None:
        line = first_disowned_line(since, key.fingerprint, entries)
        return DISOWN, from_line(line, reason)
    if key.fingerprint in revoked_keys(entries):
        raise TrustError(
            "is revoked already",
            key.path,
            "with --since you can still say from when on it was not the hospital's",
        )
    return REVOKE, reason


def _admissions(key: TrustedKey, entries: Sequence[Entry]) -> list[Entry]:
    """Admissions of a key's bundles that count, without withdrawn bundles."""
    withdrawn = withdrawn_bundles(entries)
    return [
        entry
        for entry in counted_entries(entries, ADMIT)
        if entry.why == signed_with(key.fingerprint) and (entry.what, entry.digest) not in withdrawn
    ]
