"""Taking in what hospitals withdraw, and finding the models that were trained from it.

A withdrawal is believed if it is signed with a key that is on the list and not revoked, for the
hospital whose bundle it names; a key that has ended still withdraws, which is the safe side. What a
revoked key signs is worth nothing here either: a thief could make a hospital's bundles vanish with
it, and the hospital signs its withdrawal anew with its new key. Any key of a hospital withdraws any
bundle of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from aggregator.refusals import Refusal, RevokedKey, UnknownSite
from aggregator.trust.bundle_history import ADMIT, signed_with, standing, trained_with, withdrawn
from aggregator.trust.key_history import revoked
from aggregator.trust.keys import Trust
from gdshare.bundle.attestation import Withdrawal, claimed_signer, read_signed
from gdshare.bundle.errors import WrongSite
from gdshare.errors import BundleError
from gdshare.ledger import Entry, Ledger
from gdshare.release.publish import WITHDRAW


@dataclass(frozen=True)
class VerifiedWithdrawal:
    """A withdrawal that is believed.

    Attributes:
        name, digest: of the bundle that it takes back.
        key: fingerprint of the one that signed it.
        reason: the hospital's, maybe none.
    """

    name: str
    digest: str
    key: str
    reason: str

    @property
    def bundle(self) -> tuple[str, str]:
        """Its name and digest, by which it is known."""
        return self.name, self.digest


def verify_withdrawal(data: bytes, trust: Trust, entries: Sequence[Entry]) -> VerifiedWithdrawal:
    """Check a withdrawal from a stranger.

    Args:
        data: the file.
        trust: whom to believe.
        entries: of the aggregator's ledger.

    Raises:
        UnsoundAttestation: damaged, forged, or no withdrawal.
        UnknownSite, RevokedKey: signed with a key that is not trusted, or not any more.
        WrongSite: of another hospital's bundle than the key's owner's.
    """
    named = claimed_signer(data, Withdrawal)
    signer = next((one for one in trust.keys if one.fingerprint == named), None)
    if signer is None:
        raise UnknownSite(
            "a withdrawal signed with a key that is on nobody's name",
            remedy="ask the hospital for its .pub",
        )
    told, digest = read_signed(data, signer.key, Withdrawal)
    if named in revoked(entries) and not _stands(told.name, digest, entries):
        raise RevokedKey(
            f"a withdrawal signed with a key of {signer.site} that was revoked",
            remedy="ask the hospital to withdraw again with its new key",
        )
    if told.site != signer.site:
        raise WrongSite(
            f"a withdrawal of {told.name}, signed with a key of {signer.site}",
            remedy="ask both hospitals",
        )
    for entry in entries:
        if entry.act == ADMIT and entry.digest == digest and entry.what != told.name:
            raise WrongSite(
                f"a withdrawal of {told.name} that names the digest of {entry.what}",
                remedy="ask both hospitals",
            )
    return VerifiedWithdrawal(told.name, digest, named, told.reason)


def _stands(name: str, digest: str, entries: Sequence[Entry]) -> bool:
    """Whether this very withdrawal is known, and not only from a key that was disowned by then."""
    return any(
        (entry.what, entry.digest) == (name, digest) for entry in standing(entries, WITHDRAW)
    )


def record(one: VerifiedWithdrawal, ledger: Ledger, now: datetime, operator: str) -> bool:
    """Add a withdrawal to the ledger; returns whether it is new there."""
    if _stands(one.name, one.digest, ledger.entries):
        return False
    why = f"{signed_with(one.key)}{f': {one.reason}' if one.reason else ''}"
    ledger.write(now, WITHDRAW, operator, one.name, one.digest, why)
    return True


def take_in(
    handed: Mapping[int, Mapping[str, bytes]],
    trust: Trust,
    ledger: Ledger,
    now: datetime,
    operator: str,
    tell: Callable[[str], None],
) -> list[Refusal]:
    """Record what hospitals' nodes take back.

    Args:
        handed: node -> file name -> content, from strangers.
        trust: whom to believe.
        ledger: the aggregator's, held open.
        now: its clock, UTC.
        operator: who holds the round.
        tell: told of each that is new.

    Returns:
        of each node that hands over some that are not believed, the first.
    """
    refusals: dict[int, Refusal] = {}
    for node, files in handed.items():
        for name, data in files.items():
            try:
                one = verify_withdrawal(data, trust, ledger.entries)
            except BundleError as error:
                told = Refusal(node, None, type(error).__name__, f"{name}: {error}")
                refusals.setdefault(node, told)
                continue
            if record(one, ledger, now, operator):
                models = len({entry.digest for entry in trained_with(ledger.entries, *one.bundle)})
                tell(
                    f"{one.name} was withdrawn by its hospital; models trained with it here: "
                    f"{models} (gdshare trust withdrawn lists them)"
                )
    return list(refusals.values())


def consequences(entries: Sequence[Entry], name: str, digest: str) -> dict[str, JsonValue]:
    """Say of a bundle that was withdrawn when, why, and which models were trained from it."""
    entry = withdrawn(entries)[name, digest]
    return {
        "bundle": name,
        "digest": digest,
        "withdrawn": f"{entry.at:%Y-%m-%d}",
        "why": entry.why.partition(": ")[2],
        "models": [
            {"folder": one.what, "digest": one.digest, "trained": f"{one.at:%Y-%m-%d}"}
            for one in trained_with(entries, name, digest)
        ],
    }
