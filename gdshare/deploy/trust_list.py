"""What a doctor says of a list of hospitals' keys: a round's at the aggregator, a node's peers."""

from datetime import datetime
from pathlib import Path

from gdshare.deploy.finding import Finding, fault, ok, warning
from gdshare.errors import GdshareError
from gdshare.ledger import read_ledger
from gdshare.trust.key_history import expiring_sites
from gdshare.trust.keys import ledger_beside, load_trust


def trust_findings(subject: str, trust: Path, now: datetime, renew: str) -> list[Finding]:
    """Whether the list and its ledger can be read, and whose last key ends soon.

    Args:
        subject: for the findings.
        trust: the folder of the keys.
        now: UTC.
        renew: what to do about a key that ends.
    """
    try:
        keys, entries = load_trust(trust).keys, read_ledger(ledger_beside(trust))
        ending = expiring_sites(keys, entries, now)
    except GdshareError as error:
        return [fault(subject, f"{error.where}: {error.what}", error.remedy)]
    findings = [ok(subject, f"{len(keys)} keys of hospitals, {len(entries)} lines in the ledger")]
    for site, end in ending.items():
        findings.append(warning(subject, f"{site}'s key ends on {end:%Y-%m-%d}", renew))
    return findings
