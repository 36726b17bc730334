"""The rules of a policy, each a small object that holds a bundle's manifest to one line of it.

``findings`` applies them all, for people to read; ``require_allowed`` refuses a bundle that breaks
any of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gdshare.announcement import is_shared_model
from gdshare.audit import ATTACKS
from gdshare.bundle import Manifest
from gdshare.bundle.counts import PublishedCounts, format_count
from gdshare.distill.score_record import ScoreRecord
from gdshare.errors import PolicyError
from gdshare.release.policy import BundleRules, Policy

ANYBODY = "anybody"
IDENTIFIERS = "identifiers/1"
"""A name that was found is no measurement: no approver may let it out."""


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        what: what the rule is about, in words.
        required: what the policy asks for.
        actual: what the bundle has.
        passed: whether that is allowed.
        overridable: whether an approver may let it pass all the same.
    """

    what: str
    required: str
    actual: str
    passed: bool
    overridable: bool = False


Rule = Callable[[BundleRules, Manifest], Finding]


@dataclass(frozen=True)
class AtMost:
    """A number that may not exceed the policy's."""

    what: str
    bound: Callable[[BundleRules], int]
    value: Callable[[Manifest], int]

    def __call__(self, rules: BundleRules, manifest: Manifest) -> Finding:
        """Compare."""
        bound, value = self.bound(rules), self.value(manifest)
        return Finding(self.what, f"at most {bound}", str(value), value <= bound)


@dataclass(frozen=True)
class EnoughPatients:
    """Training patients of one diagnosis; a suppressed count counts as 0 and fails any minimum."""

    what: str
    count: Callable[[PublishedCounts], int | None]

    def __call__(self, rules: BundleRules, manifest: Manifest) -> Finding:
        """Compare."""
        count = self.count(manifest.counts)
        return Finding(
            self.what,
            f"at least {rules.patients_per_class}",
            format_count(count, manifest.counts),
            (count or 0) >= rules.patients_per_class,
        )


def _counts_suppressed(rules: BundleRules, manifest: Manifest) -> Finding:
    bound = manifest.counts.suppressed_below
    return Finding(
        "counts that are not told",
        f"those below {rules.suppress_below}",
        f"those below {bound}",
        bound >= rules.suppress_below,
    )


def _same_purpose(rules: BundleRules, manifest: Manifest) -> Finding:
    purpose = manifest.terms.purpose
    return Finding("purpose", rules.purpose, purpose, purpose == rules.purpose)


def _allowed_recipients(rules: BundleRules, manifest: Manifest) -> Finding:
    recipients, allowed = set(manifest.terms.recipients), set(rules.recipients)
    return Finding(
        "recipients",
        f"of {', '.join(sorted(allowed))}" if allowed else ANYBODY,
        ", ".join(manifest.terms.recipients) or ANYBODY,
        not allowed or (bool(recipients) and recipients <= allowed),
    )


RULES: tuple[Rule, ...] = (
    AtMost("distilled images", lambda rules: rules.images, lambda manifest: manifest.method.images),
    EnoughPatients(
        "training patients without the finding", lambda counts: counts.patients_negative
    ),
    EnoughPatients("training patients with the finding", lambda counts: counts.patients_positive),
    _counts_suppressed,
    AtMost(
        "days from publication to expiry",
        lambda rules: rules.days,
        lambda manifest: (manifest.expires - manifest.created).days,
    ),
    _same_purpose,
    AtMost(
        "days until copies are deleted",
        lambda rules: rules.retention_days,
        lambda manifest: manifest.terms.retention_days,
    ),
    _allowed_recipients,
)


def findings(policy: Policy, manifest: Manifest) -> tuple[Finding, ...]:
    """Hold a bundle to the policy, rule by rule."""
    return (
        *(rule(policy.bundle, manifest) for rule in RULES),
        *_start_findings(manifest),
        *_privacy_findings(policy, manifest),
        *_attack_findings(policy, manifest),
    )


def require_allowed(policy: Policy, manifest: Manifest, overridden: bool = False) -> None:
    """Refuse a bundle that the policy does not allow to leave.

    Args:
        policy: the hospital's.
        manifest: the bundle's.
        overridden: whether an approver overrides the bounds on attacks (``override``).

    Raises:
        PolicyError: naming every broken rule.
    """
    broken = [
        finding
        for finding in findings(policy, manifest)
        if not finding.passed and not (overridden and finding.overridable)
    ]
    if broken:
        reasons = "; ".join(_in_words(finding) for finding in broken)
        can = policy.release.approvers and all(finding.overridable for finding in broken)
        raise PolicyError(
            f"the policy does not let {manifest.name} out ({reasons})",
            remedy="an approver may override it with gdshare approve --despite WHY" if can else "",
        )


def broken_bounds(policy: Policy, manifest: Manifest) -> tuple[str, ...]:
    """The bounds on attacks that a bundle breaks and an approver may override, in words."""
    return tuple(
        _in_words(finding)
        for finding in findings(policy, manifest)
        if not finding.passed and finding.overridable
    )


def _in_words(finding: Finding) -> str:
    return f"{finding.what}: {finding.actual}, {finding.required}"


AT_CHANCE = "at chance"
"""What the ledger adds to the release of images that teach nothing."""


def require_better_than_chance(score: ScoreRecord, name: str, allowed: bool) -> None:
    """Refuse images that teach no more than guessing, unless somebody insists.

    Raises:
        PolicyError: naming the figure.
    """
    if score.at_chance and not allowed:
        raise PolicyError(
            f"its images teach no more than guessing: {score.text}",
            name,
            "distil longer, or check the films and their outlines; --at-chance releases it anyway",
        )


def _start_findings(manifest: Manifest) -> Iterator[Finding]:
    """Shown where it is unusual; whether somebody consents is for the ledger to say."""
    theta0 = manifest.theta0_sha256
    if theta0 is not None and is_shared_model(theta0, manifest.method.theta0_number):
        actual = f"an aggregator's shared model, {theta0}"
        yield Finding("initial weights", "any, a shared model's with consent", actual, True)


GUARANTEE = "differential privacy"
"""What the finding about a guarantee is about. Nobody may let a bundle out that lacks one which the
policy demands: a proof that is not there is no figure to be weighed."""


def _privacy_findings(policy: Policy, manifest: Manifest) -> Iterator[Finding]:
    """Shown where there is a guarantee, or where the policy demands one."""
    rules, stated = policy.privacy, manifest.privacy
    if rules is None and stated is None:
        return
    kept = rules is None or (
        stated is not None
        and stated.epsilon <= rules.max_epsilon
        and (rules.max_delta is None or stated.delta <= rules.max_delta)
    )
    yield Finding(
        GUARANTEE,
        "not demanded" if rules is None else rules.text,
        "no guarantee; see gdshare distill --epsilon" if stated is None else stated.figures,
        kept,
    )


def bound_on(name: str, policy: Policy, tried: bool) -> float | None:
    """The highest upper end of an attack's interval; None: the policy sets no limit.

    Identifiers that were sought may not be found, unless the policy itself says something else.
    """
    return policy.attacks.get(name, 0.0 if tried and name == IDENTIFIERS else None)


def _attack_findings(policy: Policy, manifest: Manifest) -> Iterator[Finding]:
    """One for each attack that the policy asks for or that was tried."""
    tried = {attack.name: attack for attack in manifest.attacks}
    if not tried and not policy.attacks:
        none = "none tried, or no control fired; see gdshare audit"
        actual = none if manifest.privacy is None else UNPUBLISHED
        yield Finding("attacks on the images", "no bound", actual, True)
    for name in sorted({*policy.attacks, *tried}):
        attack, bound = tried.get(name), bound_on(name, policy, name in tried)
        yield Finding(
            f"attack {name}",
            "no bound" if bound is None else f"upper end {bound:.3f} at most",
            _untried(name, manifest) if attack is None else attack.text,
            bound is None or (attack is not None and attack.high <= bound),
            overridable=attack is not None and name != IDENTIFIERS,
        )


UNPUBLISHED = "not published: figures of attacks are read off patients, outside the guarantee"


def _untried(name: str, manifest: Manifest) -> str:
    if manifest.privacy is not None:
        return UNPUBLISHED
    if name in ATTACKS:
        return "not tried, or its control did not fire; see gdshare audit"
    return f"not tried; gdshare audit knows {', '.join(ATTACKS)}"
