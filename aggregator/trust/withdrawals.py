"""Verifying and recording the hospitals' withdrawals, and the models trained with such bundles.

A withdrawal is accepted if a key on the trust list signed it that is not revoked, for a bundle of
the same hospital. A key that has ended still withdraws, which errs on the safe side. A revoked key
withdraws nothing: a thief could remove a hospital's bundles with it, and the hospital can sign the
withdrawal again with its new key. Any key of a hospital withdraws any bundle of that hospital.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from aggregator.refusals import Refusal, RevokedKey, UnknownSite
from aggregator.trust.bundle_history import (
    ADMIT,
    counted_entries,
    models_trained_with,
    signed_with,
    withdrawn_bundles,
)
from gdshare.bundle.attestation import Withdrawal, claimed_signer, read_signed
from gdshare.bundle.errors import WrongSite
from gdshare.errors import BundleError
from gdshare.ledger import Entry, Ledger
from gdshare.release.publish import WITHDRAW
from gdshare.trust.key_history import revoked_keys
from gdshare.trust.keys import Trust

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VerifiedWithdrawal:
    """A withdrawal that is accepted.

    Attributes:
        name, digest: of the withdrawn bundle.
        key: fingerprint of the key that signed it.
        reason: the hospital's, possibly empty.
    """

    name: str
    digest: str
    key: str
    reason: str


def verify_withdrawal(data: bytes, trust: Trust, entries: Sequence[Entry]) -> VerifiedWithdrawal:
    """Check a withdrawal from a stranger.

    Args:
        data: the file.
        trust: the keys of the hospitals.
        entries: of the aggregator's ledger.

    Raises:
        UnsoundAttestation: damaged, forged, or not a withdrawal.
        UnknownSite, RevokedKey: signed with a key that is not on the trust list, or revoked.
        WrongSite: of another hospital's bundle than the key's owner's.
    """
    fingerprint = claimed_signer(data, Withdrawal)
    signer = trust.find(fingerprint)
    if signer is None:
        raise UnknownSite(
            "a withdrawal signed with a key that is not on the trust list",
            remedy="ask the hospital for its .pub",
        )
    withdrawal, digest = read_signed(data, signer.key, Withdrawal)
    if fingerprint in revoked_keys(entries) and not _counts(withdrawal.name, digest, entries):
        raise RevokedKey(
            f"a withdrawal signed with a revoked key of {signer.site}",
            remedy="ask the hospital to withdraw again with its new key",
        )
    if withdrawal.site != signer.site:
        raise WrongSite(
            f"a withdrawal of {withdrawal.name}, signed with a key of {signer.site}",
            remedy="ask both hospitals",
        )
    for entry in entries:
        if entry.act == ADMIT and entry.digest == digest and entry.what != withdrawal.name:
            raise WrongSite(
                f"a withdrawal of {withdrawal.name} that names the digest of {entry.what}",
                remedy="ask both hospitals",
            )
    return VerifiedWithdrawal(withdrawal.name, digest, fingerprint, withdrawal.reason)


def _counts(name: str, digest: str, entries: Sequence[Entry]) -> bool:
    """Whether the ledger has this very withdrawal, signed with a key not disowned since."""
    return any(
        (entry.what, entry.digest) == (name, digest) for entry in counted_entries(entries, WITHDRAW)
    )


def record_withdrawal(
    withdrawal: VerifiedWithdrawal, ledger: Ledger, now: datetime, operator: str
) -> bool:
    """Add a withdrawal to the ledger, unless it is there; returns whether it was added."""
    if _counts(withdrawal.name, withdrawal.digest, ledger.entries):
        return False
    reason = f": {withdrawal.reason}" if withdrawal.reason else ""
    why = f"{signed_with(withdrawal.key)}{reason}"
    ledger.write(now, WITHDRAW, operator, withdrawal.name, withdrawal.digest, why)
    return True


def record_withdrawals(
    withdrawals: Mapping[int, Mapping[str, bytes]],
    trust: Trust,
    ledger: Ledger,
    now: datetime,
    operator: str,
) -> list[Refusal]:
    """Verify and record the withdrawals that nodes sent.

    Args:
        withdrawals: node -> file name -> content, from strangers.
        trust: the keys of the hospitals.
        ledger: the aggregator's, open.
        now: the aggregator's clock, UTC.
        operator: who runs the round.

    Returns:
        for each node that sent a bad withdrawal, the first refusal.
    """
    refusals: dict[int, Refusal] = {}
    for node, files in withdrawals.items():
        for file_name, data in files.items():
            try:
                withdrawal = verify_withdrawal(data, trust, ledger.entries)
            except BundleError as error:
                refusal = Refusal(node, None, type(error).__name__, f"{file_name}: {error}")
                refusals.setdefault(node, refusal)
                continue
            if record_withdrawal(withdrawal, ledger, now, operator):
                name, digest = withdrawal.name, withdrawal.digest
                models = {
                    entry.digest for entry in models_trained_with(ledger.entries, name, digest)
                }
                log.warning(
                    "%s was withdrawn by its hospital; models trained with it here: %d "
                    "(gdshare trust withdrawn lists them)",
                    name,
                    len(models),
                )
    return list(refusals.values())


def withdrawal_report(entries: Sequence[Entry], name: str, digest: str) -> dict[str, JsonValue]:
    """Report on a withdrawn bundle: when and why, and which models were trained with it."""
    withdrawal = withdrawn_bundles(entries)[name, digest]
    return {
        "bundle": name,
        "digest": digest,
        "withdrawn": f"{withdrawal.at:%Y-%m-%d}",
        "why": withdrawal.why.partition(": ")[2],
        "models": [
            {"folder": model.what, "digest": model.digest, "trained": f"{model.at:%Y-%m-%d}"}
            for model in models_trained_with(entries, name, digest)
        ],
    }
