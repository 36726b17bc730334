"""The draft of a data-protection impact assessment, filled in from what would leave.

Parts and wording follow Article 35(7) of the GDPR. Nothing that only the hospital can know is
invented: it stands in square brackets. People's own words, such as a policy's purpose, make no
row, link, markup or bracket.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gdshare import __version__
from gdshare.announcement import is_shared_model
from gdshare.audit import ATTACKS
from gdshare.bundle import Manifest
from gdshare.bundle.counts import PublishedCounts, format_count
from gdshare.bundle.guarantee import OUTSIDE
from gdshare.deploy.template import fill
from gdshare.release import Policy, Prepared
from gdshare.release.approval import Approval
from gdshare.release.override import Override
from gdshare.release.policy import policy_digest
from gdshare.release.rules import Finding, bound_on, findings
from gdshare.report.release_page import auditor

TEMPLATE = "impact-assessment.md"
UNPROVEN = (
    "Nothing is proven about any single patient: the bundle states no guarantee, which only "
    "`gdshare distill --epsilon` gives."
)
UNTRIED = "NOT tried, or its control did not fire"
"""A bundle's manifest does not say which of the two."""
_SHOWN_AS = str.maketrans(
    {"|": "/", "[": "(", "]": ")", "<": "&lt;", ">": "&gt;", "`": "'", "\\": "/"}
)


@dataclass(frozen=True)
class Reviewed:
    """What is assessed.

    Attributes:
        prepared: what would leave.
        policy: in force.
        approvals, overrides: so far, verified.
    """

    prepared: Prepared
    policy: Policy
    approvals: Sequence[Approval]
    overrides: Sequence[Override]


def impact_assessment(reviewed: Reviewed, now: datetime) -> str:
    """Fill in the draft, Markdown.

    Args:
        reviewed: what is assessed.
        now: UTC.
    """
    prepared, policy = reviewed.prepared, reviewed.policy
    manifest = prepared.manifest
    results = findings(policy, manifest)
    values = {
        "bundle": manifest.name,
        "version": __version__,
        "day": f"{now:%Y-%m-%d}",
        "digest": prepared.digest,
        "policy": policy_digest(policy),
        "site": manifest.site,
        "images": str(manifest.method.images),
        "side": str(manifest.protocol.side),
        "rates": str(len(prepared.distilled.learning_rates)),
        "patients": _patients(manifest.counts),
        "bytes": f"{sum(len(content) for content in prepared.files.values()):,}",
        "purpose": _plain(manifest.terms.purpose),
        "recipients": _plain(manifest.terms.whom),
        "expires": f"{manifest.expires:%Y-%m-%d}",
        "retention": str(manifest.terms.retention_days),
        "start": _start(manifest),
        "patches": _patches(manifest.counts),
        "suppress": str(manifest.counts.suppressed_below),
        "teaches": f"{_tested_on(manifest)}: {prepared.score.text}",
        "proof": _proof(manifest),
        "attacks": "\n".join(_attack_rows(policy, manifest)),
        "auditor": " ".join(auditor(prepared, policy)) or "No figure of an attack would leave.",
        "rules": "\n".join(_rule_row(part) for part in results if not _is_attack(part)),
        "needed": str(policy.release.approvals),
        "given": str(len(reviewed.approvals)),
        "approvers": "".join(f"; {_plain(approval.by)}" for approval in reviewed.approvals),
        "overridden": _overridden(reviewed.overrides),
    }
    return fill("gdshare.report", TEMPLATE, values)


def _patients(counts: PublishedCounts) -> str:
    negative = format_count(counts.patients_negative, counts)
    positive = format_count(counts.patients_positive, counts)
    return f"training patients: {negative} without the finding, {positive} with it"


def _patches(counts: PublishedCounts) -> str:
    named = (counts.patches_i, counts.patches_n, counts.patches_p)
    i, n, p = (format_count(count, counts) for count in named)
    return f"patches of classes I, N and P ({i}, {n}, {p})"


def _tested_on(manifest: Manifest) -> str:
    if manifest.privacy is not None:
        return "on surrogates drawn from the noisy statistic, not on patients"
    return "on the hospital's own validation patients"


def _proof(manifest: Manifest) -> str:
    """What is proven of a patient, and what is outside of it."""
    stated = manifest.privacy
    if stated is None:
        return UNPROVEN
    return (
        f"Proven is {stated.text}, if the mechanism (`{stated.mechanism}`) was run as written; "
        f"`{stated.accountant}` counted ε, and both figures are rounded up. {stated.meaning} "
        f"{OUTSIDE} The counts above are noisy, and part of the guarantee. The run's "
        "`privacy.json` lists everything that reads patients. Figures of attacks would be outside "
        "the guarantee, and the bundle has none. [Is this ε small enough for these patients?]"
    )


def _start(manifest: Manifest) -> str:
    if is_shared_model(manifest.theta0_sha256, manifest.method.theta0_number):
        return (
            f"those of a model that an aggregator shared ({manifest.theta0_sha256}), with the "
            "hospital's recorded consent [who trained it, and from what]"
        )
    if manifest.theta0_sha256 is not None:
        return "one public set, which makes images easier to invert than fresh weights do"
    return "drawn afresh in each step"


def _attack_rows(policy: Policy, manifest: Manifest) -> list[str]:
    tried = {attack.name: attack for attack in manifest.attacks}
    untried = UNTRIED if manifest.privacy is None else "not published, with a guarantee"
    rows = []
    for name in sorted({*tried, *policy.attacks, *ATTACKS}):
        attack, bound = tried.get(name), bound_on(name, policy, name in tried)
        figure = untried if attack is None else attack.text
        limit = "none" if bound is None else f"upper end {bound:.3f} at most"
        if bound is not None and (attack is None or attack.high > bound):
            limit += ", NOT kept"
        rows.append(f"| {name} | {figure} | {limit} | [ ] |")
    return rows


def _is_attack(finding: Finding) -> bool:
    return finding.what.startswith("attack")


def _rule_row(finding: Finding) -> str:
    mark = "kept" if finding.passed else "NOT kept"
    return f"| {finding.what} | {mark}: {_plain(finding.actual)} ({_plain(finding.required)}) |"


def _overridden(overrides: Sequence[Override]) -> str:
    return "; ".join(_plain(f"{part.text} ({part.by})") for part in overrides) or "none"


def _plain(text: str) -> str:
    """People's own words in one line, without what Markdown takes for something else."""
    return " ".join(text.split()).translate(_SHOWN_AS)
