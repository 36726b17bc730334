"""``OUTBOX-policy.toml``: what a hospital lets out, and how many people must agree.

::

    [bundle]
    images = 30                 # distilled images, at most
    patients-per-class = 5      # training patients with and without the finding, at least
    suppress-below = 5          # smaller counts are suppressed; the rule above takes 0
    days = 730                  # from publication to expiry, at most
    purpose = "..."             # what it may be used for, in one sentence
    retention-days = 90         # after expiry, until when every copy must be deleted
    recipients = ["tokyo"]      # who may be named as a recipient; [] is anybody
    [attacks]                   # that must have been tried, and their highest result
    "membership-bundle/1" = 0.9 # the upper end of its interval, at most
    [privacy]                   # a guarantee that a bundle must have, if the table is there
    max-epsilon = 8.0           # at most, for each training patient
    max-delta = 1e-5            # at most; left out: any
    [release]
    approvals = 1               # people who must approve, besides the one who signs
    approvers = ["9f86...", ]   # the fingerprints of their keys
    one-shot = false            # whether gdshare publish may do all steps at once

Defaults are as shown, except ``approvals = 0``, ``approvers = []``, ``one-shot = true``,
``recipients = []``, no ``[attacks]``, no ``[privacy]``, and as purpose the training and evaluation
of classifiers of X-ray films. The first policy that ``gdshare policy new`` writes for approvers has
the bounds of ``bounds`` too, or ``[privacy]``. ``rules`` holds a bundle to the policy; ``pinned``
says which policy is in force.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from gdshare.bundle import Terms
from gdshare.bundle.attacks import AttackName
from gdshare.bundle.counts import SUPPRESS_BELOW
from gdshare.bundle.guarantee import LARGEST_EPSILON
from gdshare.errors import PolicyError
from gdshare.plain_files import TooLargeError, read_plain
from gdshare.release.bounds import STANDARD_BOUNDS
from gdshare.signing.names import Digest

MAX_BYTES = 64 * 1024
NOTHING_RELEASED = "correct it; until then nothing is released"
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
        images: distilled images, at most.
        patients_per_class: training patients with, and without, the finding, at least.
        suppress_below: smaller counts do not leave.
        days: from publication to expiry, at most.
        purpose, retention_days: see ``Terms``.
        recipients: who may be named as a recipient; empty: anybody.
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
    """Who must approve.

    Attributes:
        approvals: how many people besides the signer.
        approvers: fingerprints of the keys that may approve.
        one_shot: whether ``gdshare publish`` may do all steps at once.
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


class PrivacyRules(_Table):
    """The guarantee that a bundle must have; nobody may override it.

    Attributes:
        max_epsilon: of each training patient, at most.
        max_delta: at most; None: any.
    """

    max_epsilon: Annotated[float, Field(gt=0.0, le=LARGEST_EPSILON, strict=True)]
    max_delta: Annotated[float, Field(gt=0.0, lt=1.0, strict=True)] | None = None

    @property
    def text(self) -> str:
        """Such as ``ε 8 at most, δ 1e-05 at most``."""
        delta = "" if self.max_delta is None else f", δ {self.max_delta:g} at most"
        return f"ε {self.max_epsilon:g} at most{delta}"


Bound = Annotated[float, Field(ge=0.0, le=1.0, strict=True, allow_inf_nan=False)]


class Policy(_Table):
    """A hospital's policy.

    Attributes:
        bundle: what may leave.
        attacks: those that must have been tried -> the highest upper end of the 95% interval.
        privacy: the guarantee that it must have; None: it needs none. It is left out of a policy's
            data then, so that the digest of a policy of before is what it was.
        release: who must approve.
    """

    bundle: BundleRules = BundleRules()
    attacks: Mapping[AttackName, Bound] = {}
    privacy: PrivacyRules | None = None
    release: ReleaseRules = ReleaseRules()

    @model_serializer(mode="wrap")
    def _as_before_guarantees(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        if self.privacy is None:
            values.pop("privacy", None)
        return values


def policy_path(outbox: Path) -> Path:
    """The policy's file: beside the outbox, so that nobody can choose another for one release."""
    real = outbox.resolve()  # a link to the outbox has no policy of its own
    return real.with_name(f"{real.name}-policy.toml")


def read_policy(outbox: Path) -> Policy:
    """Read what the policy's file says; the default policy where there is none.

    Whether it is in force is for ``pinned`` to say.

    Raises:
        PolicyError: not TOML, or a rule that is unknown, malformed or impossible to meet.
    """
    path = policy_path(outbox)
    if not os.path.lexists(path):  # a link that leads nowhere is a policy that cannot be read
        return Policy()
    return parse_policy(read_policy_file(path), path)


def read_policy_file(path: Path) -> bytes:
    """Read a policy's text.

    Raises:
        PolicyError: missing, too large, or not a plain file.
    """
    try:
        return read_plain(path, MAX_BYTES)
    except TooLargeError as error:
        raise PolicyError("too large for a policy", path, NOTHING_RELEASED) from error
    except OSError as error:
        raise PolicyError(f"cannot be read ({error.strerror})", path, "check the path") from error


def parse_policy(content: bytes, where: Path) -> Policy:
    """Read a policy from its text.

    Raises:
        PolicyError: as ``read_policy``.
    """
    try:
        return Policy.model_validate(tomllib.loads(content.decode("utf-8")))
    except ValidationError as error:
        raise PolicyError(_wrong_rule(error), where, NOTHING_RELEASED) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError(f"not readable TOML ({error})", where, NOTHING_RELEASED) from error


def write_policy(policy: Policy) -> bytes:
    """Write a policy as TOML, every rule with its meaning."""
    rules, release = policy.bundle, policy.release
    attacks = [_attack_line(name, bound) for name, bound in policy.attacks.items()]
    lines = [
        "[bundle]",
        f"images = {rules.images}  # distilled images, at most",
        f"patients-per-class = {rules.patients_per_class}  # training patients with and without "
        "the finding, at least",
        f"suppress-below = {rules.suppress_below}  # a count below this is not given",
        f"days = {rules.days}  # from publication to expiry, at most",
        f"purpose = {json.dumps(rules.purpose)}",
        f"retention-days = {rules.retention_days}  # after expiry, until when every copy must be "
        "deleted",
        f"recipients = {json.dumps(rules.recipients)}  # who may be named as a recipient; [] is "
        "anybody",
        "[attacks]  # that must have been tried, and the highest upper end of their interval",
        *attacks,
        *_privacy_lines(policy.privacy),
        "[release]",
        f"approvals = {release.approvals}  # people who must approve, besides the one who signs",
        f"approvers = {json.dumps(release.approvers)}  # the fingerprints of their keys",
        f"one-shot = {json.dumps(release.one_shot)}  # whether gdshare publish may do all at once",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _attack_line(name: str, bound: float) -> str:
    standard = STANDARD_BOUNDS.get(name)
    why = f"  # {standard.behind}" if standard and standard.highest == bound else ""
    return f"{json.dumps(name)} = {bound}{why}"


def _privacy_lines(privacy: PrivacyRules | None) -> list[str]:
    if privacy is None:
        return []
    delta = [] if privacy.max_delta is None else [f"max-delta = {privacy.max_delta}  # at most"]
    return [
        "[privacy]  # the guarantee that a bundle must have",
        f"max-epsilon = {privacy.max_epsilon}  # of each training patient, at most",
        *delta,
    ]


def _wrong_rule(error: ValidationError) -> str:
    """The first rule that is wrong, and what may have been meant."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {
            "bundle": BundleRules,
            "privacy": PrivacyRules,
            "release": ReleaseRules,
        }
        fields = (tables[where[0]] if len(where) > 1 else Policy).model_fields
        close = get_close_matches(where[-1], [_dashed(name) for name in fields], 1)
        return f"{'.'.join(where)}: no such rule{f'; is {close[0]} meant' if close else ''}"
    if where[0] == "attacks" and where[-1] == "[key]":
        return 'attacks: write each as gdshare audit names it, in quotes: "membership-loss/1" = 0.9'
    return f"{'.'.join(where)}: {first['msg'].removeprefix('Value error, ')}"


def terms_of(policy: Policy, to: Sequence[str]) -> Terms:
    """The terms on which a bundle leaves.

    Args:
        policy: the hospital's.
        to: the chosen recipients; empty: all that the policy names.

    Raises:
        PolicyError: a recipient that the policy does not name, or that is not a valid name.
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
    """Name the policy that a step followed, for the ledger."""
    return f"{_BY_DEFAULT if policy == Policy() else _BY}{policy_digest(policy)}"


def is_by_default(why: str) -> bool:
    """Whether the ledger says of a step that it followed the default policy."""
    return why.startswith(_BY_DEFAULT)


def require_one_shot(policy: Policy) -> None:
    """Refuse ``gdshare publish`` where the policy asks for a review.

    Raises:
        PolicyError: it does.
    """
    if not policy.release.one_shot or policy.release.approvals:
        raise PolicyError(
            "the policy requires a review and approval before a release",
            remedy="use gdshare prepare, gdshare approve and gdshare release",
        )
