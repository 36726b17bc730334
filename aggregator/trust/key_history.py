"""What the aggregator's ledger says of keys: trusted until when, revoked, and since when no longer
the hospital's.

A key file in the trust folder is enough to be believed; all that is here takes belief away. What
counts is the order of the ledger and the aggregator's clock, never a time that a bundle claims.

- ``trust``: from here on, whole; ``why`` tells its end (``until 2028-11-21T09:30:00Z``).
- ``revoke``: nothing new of it is believed; what was admitted before stays admitted, and counts.
- ``disown``: that too, and what was admitted of it from a line on loses its admission
  (``from line 12 on: the laptop was stolen``). An act of its own: the reason of a ``revoke`` may be
  a stranger's words, and no words must take a bundle's admission away.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.trust.keys import TrustedKey
from gdshare.errors import LedgerError
from gdshare.ledger import Entry
from gdshare.signing.names import format_utc

TRUST, REVOKE, DISOWN = "trust", "revoke", "disown"
SOON = timedelta(days=30)
"""How long before its end a key is warned about."""
_END = re.compile(r"until (20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ)", re.ASCII)
_LINE = re.compile(r"from line ([1-9][0-9]{0,8}) on: .*", re.ASCII | re.DOTALL)


def until(end: datetime) -> str:
    """How a ``trust`` tells when the key ends."""
    return f"until {format_utc(end)}"


def from_line(number: int, why: str) -> str:
    """How a ``disown`` tells since when the key was no longer the hospital's."""
    return f"from line {number} on: {why}"


def revoked(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the fingerprints of revoked keys, each with the act that says most of why.

    Args:
        entries: of the ledger, in order; a key that is trusted anew later is no longer revoked.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.act in (REVOKE, DISOWN) and entry.digest is not None:
            # What was said later of a thief says more than the revocation before it.
            if entry.act == DISOWN or entry.digest not in found:
                found[entry.digest] = entry
        elif entry.act == TRUST and entry.digest is not None:
            found.pop(entry.digest, None)
    return found


@dataclass(frozen=True)
class Disowned:
    """Admissions that count no more: those of a key, from one line on and before another."""

    key: str
    first: int
    before: int


def disowned(entries: Iterable[Entry]) -> tuple[Disowned, ...]:
    """Return what was taken back; for good, also where the key is trusted anew.

    Raises:
        LedgerError: a line that no ``gdshare trust`` has written.
    """
    return tuple(
        Disowned(entry.digest, int(_told(_LINE, entry)), entry.number)
        for entry in entries
        if entry.act == DISOWN and entry.digest is not None
    )


def ends(entries: Iterable[Entry]) -> dict[str, datetime]:
    """Return when keys end; one that was put into the folder by hand has no end.

    Raises:
        LedgerError: a line that no ``gdshare trust`` has written.
    """
    found: dict[str, datetime] = {}
    for entry in entries:
        if entry.act == TRUST and entry.digest is not None:
            found.pop(entry.digest, None)
            if entry.why:
                found[entry.digest] = datetime.fromisoformat(_told(_END, entry))
    return found


def state(key: TrustedKey, entries: Sequence[Entry], now: datetime) -> str:
    """Say in a few words what a key on the list is worth."""
    entry, end = revoked(entries).get(key.fingerprint), ends(entries).get(key.fingerprint)
    if entry is not None:
        return f"revoked {entry.at:%Y-%m-%d}: {entry.why}"
    if end is None:
        return "trusted"
    return f"{'ended' if now >= end else 'trusted until'} {end:%Y-%m-%d}"


def ending(
    keys: Iterable[TrustedKey], entries: Sequence[Entry], now: datetime
) -> dict[str, datetime]:
    """Return the sites whose last key ends within ``SOON``, or has ended, and when."""
    gone, known = revoked(entries), ends(entries)
    of_site: dict[str, list[datetime | None]] = {}
    for one in keys:
        if one.fingerprint not in gone:
            of_site.setdefault(one.site, []).append(known.get(one.fingerprint))
    last = {site: _last(found) for site, found in of_site.items()}
    return {site: end for site, end in last.items() if end is not None and end < now + SOON}


def _last(found: Sequence[datetime | None]) -> datetime | None:
    """None where one of the keys has no end."""
    known = [end for end in found if end is not None]
    return max(known) if len(known) == len(found) else None


def _told(form: re.Pattern[str], entry: Entry) -> str:
    told = form.fullmatch(entry.why)
    if told is None:
        raise LedgerError(
            f"line {entry.number} of the trust ledger ({entry.act}) was not written by "
            "gdshare trust",
            remedy="keep the file as evidence, and put its last good copy back",
        )
    return told[1]
