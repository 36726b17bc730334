"""An outbox under its ledger's lock: where everything that a release depends on is read.

Whoever is asked for a passphrase is asked before: what is read here, policy, content and approvals,
cannot change between its check and the act, as long as everybody goes through this lock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gdshare.errors import UsageError
from gdshare.ledger import Entry, Ledger, open_ledger
from gdshare.release.consent import CONSENT, ENDED
from gdshare.release.pinned import POLICY, policy_in_force
from gdshare.release.policy import Policy
from gdshare.release.publish import ledger_beside


@dataclass(frozen=True)
class LockedOutbox:
    """An outbox that nobody else changes meanwhile.

    Attributes:
        path: its folder.
        ledger: its ledger, locked.
        policy: the policy in force.
    """

    path: Path
    ledger: Ledger
    policy: Policy


@contextmanager
def open_outbox(outbox: Path) -> Iterator[LockedOutbox]:
    """Lock an outbox's ledger until the block ends, and read the policy in force.

    Raises:
        PolicyError: none is in force, or the file beside the outbox says something else.
        LedgerError, LockedError: see ``open_ledger``.
    """
    with open_ledger(ledger_beside(outbox)) as ledger:
        yield LockedOutbox(outbox, ledger, policy_in_force(outbox, ledger.entries))


def owner_of(entries: Sequence[Entry]) -> str | None:
    """The hospital whose outbox it is, by the first line about it; None before that."""
    first = next((entry for entry in entries if entry.act not in (CONSENT, ENDED)), None)
    if first is None:
        return None
    return first.what if first.act == POLICY else first.what.rpartition("-")[0]


def require_owner(outbox: Path, entries: Sequence[Entry], site: str) -> None:
    """Refuse another hospital's bundle.

    Raises:
        UsageError: the ledger says whose outbox it is.
    """
    owner = owner_of(entries)
    if owner not in (None, site):
        raise UsageError(
            f"this is {owner}'s outbox, by the first line of its ledger, and not {site}'s",
            outbox,
            f"give {site}'s own outbox, or say --site {owner} if that is meant",
        )
