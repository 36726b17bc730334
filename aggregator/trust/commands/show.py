"""``gdshare trust list``: the keys, whose they are and whether they are good."""

from collections.abc import Sequence
from datetime import UTC, datetime

from aggregator.trust.commands.options import TrustFolder
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.ledger import Entry, read_ledger
from gdshare.trust.key_history import TRUST, key_ends, key_state, revoked_keys
from gdshare.trust.keys import TrustedKey, ledger_beside, load_trust


def show(trust: TrustFolder, as_json: AsJson = False) -> None:
    """List the keys, whose they are, until when they are trusted, and which are revoked."""
    entries, now = read_ledger(ledger_beside(trust)), datetime.now(UTC)
    keys = load_trust(trust).keys
    facts = [_facts(key, entries) for key in keys]
    if as_json:
        return print_json(facts)
    rows = [
        (
            key.site,
            key.fingerprint,
            fact["since"] or "put there by hand",
            key_state(key, entries, now),
        )
        for key, fact in zip(keys, facts, strict=True)
    ]
    print_table(f"{trust}: {len(keys)} keys", ("site", "fingerprint", "since", "state"), rows)
    return None


def _facts(key: TrustedKey, entries: Sequence[Entry]) -> dict[str, str | None]:
    added = [
        entry.at for entry in entries if entry.act == TRUST and entry.digest == key.fingerprint
    ]
    revocation = revoked_keys(entries).get(key.fingerprint)
    return {
        "site": key.site,
        "fingerprint": key.fingerprint,
        "since": _day(added[-1] if added else None),
        "until": _day(key_ends(entries).get(key.fingerprint)),
        "revoked": _day(revocation.at if revocation else None),
        "why": revocation.why if revocation else "",
    }


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d}"
