"""``OUTBOX-policy.toml``: what a hospital lets out, and how many people must agree.

::

    [bundle]
    images = 30                 # distilled images, at most
    patients-per-class = 5      # training patients with and without the finding, at least
    suppress-below = 5          # a count below this is not told, and is 0 to the rule above
    days = 730                  # from publication to expiry, at most
    purpose = "..."             # what it may be used for, in one sentence
    retention-days = 90         # after expiry, until when every copy must be deleted
    recipients = ["tokyo"]      # who may be named as a recipient; [] is anybody
    [attacks]                   # that must have been tried, and what may come out
    "membership-loss/1" = 0.7   # the upper end of its interval, at most
    [release]
    approvals = 1               # people who must approve, besides the one who signs
    approvers = ["9f86...", ]   # the fingerprints of their keys
    one-shot = false            # whether gdshare publish may do it all at once

What is not there is as shown but for ``approvals = 0``, ``approvers = []``, ``one-shot = true``,
``recipients = []``, no ``[attacks]``, and a purpose of training and evaluating classifiers of X-ray
films.
"""

import hashlib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gdshare.audit import ATTACKS
from gdshare.bundle import Manifest, Terms
from gdshare.bundle.attacks import AttackName
from gdshare.bundle.counts import SUPPRESS_BELOW, spelled_count
from gdshare.errors import PolicyError
from gdshare.ledger import Entry
from gdshare.signing.names import Digest

MAX_BYTES = 64 * 1024
_ACTS = ("prepare", "approve", "release")
_BY, _BY_DEFAULT = "by policy ", "by the default policy "


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=_dashed, validate_by_name=True
    )


class BundleRules(_Table):
    """What a bundle may be.

    Attributes:
        images: at most.
        patients_per_class: training patients with and without the finding, of each at least.
        suppress_below: counts below this are left out of what leaves.
        days: from publication to expiry, at most.
        purpose, retention_days, recipients: see ``Terms``; of recipients those that may be named.
    """

    images: Annotated[int, Field(ge=1, strict=True)] = 30
    patients_per_class: Annotated[int, Field(ge=0, strict=True)] = 5
    suppress_below: Annotated[int, Field(ge=0, le=1000, strict=True)] = SUPPRESS_BELOW
    days: Annotated[int, Field(ge=1, strict=True)] = 730
    purpose: str = Terms().purpose
    retention_days: Annotated[int, Field(strict=True)] = Terms().retention_days
    recipients: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _are_terms(self) -> Self:
        self.terms(self.recipients)
        return self

    def terms(self, to: Sequence[str]) -> Terms:
        """The terms of a bundle for these recipients."""
        recipients = tuple(sorted(set(to)))
        days = self.retention_days
        return Terms(purpose=self.purpose, recipients=recipients, retention_days=days)


class ReleaseRules(_Table):
    """Who must agree.

    Attributes:
        approvals: people besides the one who signs.
        approvers: fingerprints of the keys that may approve.
        one_shot: whether ``gdshare publish`` may do all acts at once.
    """

    approvals: Annotated[int, Field(ge=0, le=10, strict=True)] = 0
    approvers: tuple[Digest, ...] = ()
    one_shot: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if len(set(self.approvers)) < self.approvals:
            raise ValueError(
                f"approvals asks for {self.approvals} people, and approvers names "
                f"{len(set(self.approvers))} keys"
            )
        return self


Bound = Annotated[float, Field(ge=0.0, le=1.0, strict=True, allow_inf_nan=False)]


class Policy(_Table):
    """A hospital's policy.

    Attributes:
        bundle: what may leave.
        attacks: those that must have been tried, each with what the upper end of its 95% interval
            may be at most.
        release: who must agree.
    """

    bundle: BundleRules = BundleRules()
    attacks: Mapping[AttackName, Bound] = {}
    release: ReleaseRules = ReleaseRules()


@dataclass(frozen=True)
class Finding:
    """What the policy says of one thing.

    Attributes:
        what: in words.
        wanted: what the policy asks for.
        found: what the bundle has.
        passed: whether that will do.
    """

    what: str
    wanted: str
    found: str
    passed: bool


def policy_path(outbox: Path) -> Path:
    """Where an outbox's policy lies: beside it, so that nobody can name another for one release."""
    real = outbox.resolve()  # a link to the outbox has no policy of its own
    return real.with_name(f"{real.name}-policy.toml")


def read_policy(outbox: Path) -> Policy:
    """Read the policy of an outbox; without one, what holds where nobody wrote any.

    Raises:
        PolicyError: not TOML, or a rule that is unknown, malformed or cannot be kept.
    """
    path = policy_path(outbox)
    if not os.path.lexists(path):  # a link that leads nowhere is a policy that cannot be read
        return Policy()
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise PolicyError("too large for a policy", path, "nothing is released by it")
        return Policy.model_validate(tomllib.loads(content.decode("utf-8")))
    except ValidationError as error:
        told = _wrong_rule(error)
        raise PolicyError(told, path, "nothing is released by it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"not readable TOML ({error})", path, "nothing is released by it"
        ) from error
    except OSError as error:
        raise PolicyError(f"cannot be read ({error.strerror})", path) from error


def _wrong_rule(error: ValidationError) -> str:
    """Tell the first rule that cannot be gone by, and what may have been meant."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {"bundle": BundleRules, "release": ReleaseRules}
        fields = (tables[where[0]] if len(where) > 1 else Policy).model_fields
        close = get_close_matches(where[-1], [_dashed(name) for name in fields], 1)
        return f"{'.'.join(where)}: no such rule{f'; is {close[0]} meant' if close else ''}"
    if where[0] == "attacks" and where[-1] == "[key]":
        return f'attacks: write each as gdshare audit names it, in quotes: "{ATTACKS[0]}" = 0.9'
    return f"{'.'.join(where)}: {first['msg'].removeprefix('Value error, ')}"


def terms_of(policy: Policy, to: Sequence[str]) -> Terms:
    """Return the terms on which a bundle leaves.

    Args:
        policy: the hospital's.
        to: recipients that somebody names; empty: all that the policy names.

    Raises:
        PolicyError: one that the policy does not name, or that is no name.
    """
    allowed = policy.bundle.recipients
    others = sorted(set(to) - set(allowed)) if allowed else []
    if others:
        raise PolicyError(
            f"the policy does not name {', '.join(others)} as a recipient",
            remedy=f"it names {', '.join(sorted(allowed))}",
        )
    try:
        return policy.bundle.terms(to or allowed)
    except ValidationError as error:
        raise PolicyError(
            f"--to: {error.errors()[0]['msg']}",
            remedy="a name has lower-case letters, digits and hyphens",
        ) from error


def policy_digest(policy: Policy) -> str:
    """Name a policy by what it says: SHA-256, 64 hex digits."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()


def by_policy(policy: Policy) -> str:
    """Name the policy that an act went by, for the ledger."""
    return f"{_BY_DEFAULT if policy == Policy() else _BY}{policy_digest(policy)}"


def require_there(outbox: Path, entries: Iterable[Entry]) -> None:
    """Refuse to go by the default once a policy has been gone by.

    Args:
        outbox: whose policy it is.
        entries: of its ledger.

    Raises:
        PolicyError: the ledger names another policy than the default, and there is none now.
    """
    # A withdrawal's reason is anybody's words; these are this program's.
    written = any(entry.act in _ACTS and entry.why.startswith(_BY) for entry in entries)
    if written and not os.path.lexists(policy_path(outbox)):
        raise PolicyError(
            "is gone, and the ledger shows that there was a policy",
            policy_path(outbox),
            "put it back",
        )


def findings(policy: Policy, manifest: Manifest) -> tuple[Finding, ...]:
    """Hold what would leave against the policy, rule by rule."""
    rules, counts = policy.bundle, manifest.counts
    days = (manifest.expires - manifest.created).days
    least = f"at least {rules.patients_per_class}"
    terms, allowed = manifest.terms, ", ".join(sorted(rules.recipients))
    return (
        Finding(
            "distilled images",
            f"at most {rules.images}",
            str(manifest.method.images),
            manifest.method.images <= rules.images,
        ),
        Finding(
            "training patients without the finding",
            least,
            spelled_count(counts.patients_negative, counts),
            (counts.patients_negative or 0) >= rules.patients_per_class,
        ),
        Finding(
            "training patients with the finding",
            least,
            spelled_count(counts.patients_positive, counts),
            (counts.patients_positive or 0) >= rules.patients_per_class,
        ),
        Finding(
            "counts that are not told",
            f"those below {rules.suppress_below}",
            f"those below {counts.suppressed_below}",
            counts.suppressed_below >= rules.suppress_below,
        ),
        Finding(
            "days from publication to expiry",
            f"at most {rules.days}",
            str(days),
            days <= rules.days,
        ),
        Finding("purpose", rules.purpose, terms.purpose, terms.purpose == rules.purpose),
        Finding(
            "days until copies are deleted",
            f"at most {rules.retention_days}",
            str(terms.retention_days),
            terms.retention_days <= rules.retention_days,
        ),
        Finding(
            "recipients",
            f"of {allowed}" if rules.recipients else "anybody",
            ", ".join(terms.recipients) or "anybody",
            not rules.recipients
            or (bool(terms.recipients) and set(terms.recipients) <= set(rules.recipients)),
        ),
        *_attacked(policy, manifest),
    )


def _untried(name: str) -> str:
    if name in ATTACKS:
        return "not tried; see gdshare audit"
    return f"not tried; gdshare audit knows {' and '.join(ATTACKS)}"


def _attacked(policy: Policy, manifest: Manifest) -> Iterator[Finding]:
    """What the attacks came to; those that nobody asked for are told all the same."""
    tried = {one.name: one for one in manifest.attacks}
    if not tried and not policy.attacks:
        yield Finding("attacks on the images", "no bound", "none tried; see gdshare audit", True)
    for name in sorted({*policy.attacks, *tried}):
        one, bound = tried.get(name), policy.attacks.get(name)
        yield Finding(
            f"attack {name}",
            "no bound" if bound is None else f"upper end {bound:.3f} at most",
            _untried(name) if one is None else one.told,
            bound is None or (one is not None and one.high <= bound),
        )


def require_allowed(policy: Policy, manifest: Manifest) -> None:
    """Refuse what the policy does not let out.

    Raises:
        PolicyError: naming every rule that is not kept.
    """
    broken = [one for one in findings(policy, manifest) if not one.passed]
    if broken:
        told = "; ".join(f"{one.what}: {one.found}, {one.wanted}" for one in broken)
        raise PolicyError(f"the policy does not let {manifest.name} out ({told})")
