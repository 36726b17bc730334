"""What the trust list's ledger says of keys: when each ends, which are revoked or disowned.

A key file in the trust folder is enough to be trusted; everything here takes trust away. What
counts is the order of the ledger and the reader's clock, never a time that a bundle claims.

- ``trust``: the key is good from here on; ``why`` gives its end (``until 2028-11-21T09:30:00Z``).
- ``revoke``: nothing new of the key is admitted; what was admitted before stays so, and counts.
- ``disown``: the same, and what was admitted of it from a line on loses its admission
  (``from line 12 on: the laptop was stolen``). It is an act of its own because the reason of a
  ``revoke`` may be a stranger's words, and no words may take an admission away.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gdshare.errors import LedgerError
from gdshare.ledger import Entry
from gdshare.signing.names import format_utc
from gdshare.trust.keys import TrustedKey

TRUST, REVOKE, DISOWN = "trust", "revoke", "disown"
SOON = timedelta(days=30)
"""How long before its end the operator is warned about a key."""
_END = re.compile(r"until (20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ)", re.ASCII)
_LINE = re.compile(r"from line ([1-9][0-9]{0,8}) on: .*", re.ASCII | re.DOTALL)


def until(end: datetime) -> str:
    """The reason of a ``trust``: when the key ends."""
    return f"until {format_utc(end)}"


def from_line(number: int, why: str) -> str:
    """The reason of a ``disown``: from which line on the key was no longer the hospital's."""
    return f"from line {number} on: {why}"


def revoked_keys(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the revoked keys: fingerprint -> the entry that says most about why.

    Args:
        entries: of the ledger, in order; a key that is trusted again later is no longer revoked.
    """
    revoked: dict[str, Entry] = {}
    for entry in entries:
        if entry.act in (REVOKE, DISOWN) and entry.digest is not None:
            # A later disowning says more than the revocation before it.
            if entry.act == DISOWN or entry.digest not in revoked:
                revoked[entry.digest] = entry
        elif entry.act == TRUST and entry.digest is not None:
            revoked.pop(entry.digest, None)
    return revoked


@dataclass(frozen=True)
class DisownedLines:
    """The lines of a key that count no more: from ``first`` to the one before ``before``."""

    key: str
    first: int
    before: int


def disowned_lines(entries: Iterable[Entry]) -> tuple[DisownedLines, ...]:
    """Return the disowned lines of each key; they stay so when the key is trusted again.

    Raises:
        LedgerError: a line that ``gdshare trust`` did not write.
    """
    return tuple(
        DisownedLines(entry.digest, int(_match(_LINE, entry)), entry.number)
        for entry in entries
        if entry.act == DISOWN and entry.digest is not None
    )


def key_ends(entries: Iterable[Entry]) -> dict[str, datetime]:
    """Return when keys end, by fingerprint; a key put into the folder by hand has no end.

    Raises:
        LedgerError: a line that ``gdshare trust`` did not write.
    """
    ends: dict[str, datetime] = {}
    for entry in entries:
        if entry.act == TRUST and entry.digest is not None:
            ends.pop(entry.digest, None)
            if entry.why:
                ends[entry.digest] = datetime.fromisoformat(_match(_END, entry))
    return ends


def key_state(key: TrustedKey, entries: Sequence[Entry], now: datetime) -> str:
    """Say in a few words whether a key on the list is good."""
    if (entry := revoked_keys(entries).get(key.fingerprint)) is not None:
        return f"revoked {entry.at:%Y-%m-%d}: {entry.why}"
    if (end := key_ends(entries).get(key.fingerprint)) is None:
        return "trusted"
    return f"{'ended' if now >= end else 'trusted until'} {end:%Y-%m-%d}"


def expiring_sites(
    keys: Iterable[TrustedKey], entries: Sequence[Entry], now: datetime
) -> dict[str, datetime]:
    """Return the sites whose last key ends within ``SOON``, or has ended; site -> when."""
    revoked, ends = revoked_keys(entries), key_ends(entries)
    by_site: dict[str, list[datetime | None]] = {}
    for key in keys:
        if key.fingerprint not in revoked:
            by_site.setdefault(key.site, []).append(ends.get(key.fingerprint))
    last = {site: _last(site_ends) for site, site_ends in by_site.items()}
    return {site: end for site, end in last.items() if end is not None and end < now + SOON}


def _last(ends: Sequence[datetime | None]) -> datetime | None:
    """None if one of the keys has no end."""
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _match(form: re.Pattern[str], entry: Entry) -> str:
    match = form.fullmatch(entry.why)
    if match is None:
        raise LedgerError(
            f"line {entry.number} of the trust ledger ({entry.act}) was not written by "
            "gdshare trust",
            remedy="keep the file as evidence, and put its last good copy back",
        )
    return match[1]
