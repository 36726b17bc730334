"""The policy in force: the one that the ledger names, reached from the first by signatures.

::

    OUTBOX-policy.toml             the policy in force, for people to read
    OUTBOX-ledger.jsonl            a line ``policy`` for each policy that ever was in force
    OUTBOX-policies/
      DIGEST.toml                  the text of each of them, and of those proposed
      LINE-DIGEST-FINGERPRINT.sig  an approver agrees that DIGEST follows the policy of LINE

The first policy is anybody's to make, and stands in the ledger from then on. Each later policy
counts only when as many approvers of the one before have signed it as that one asks for, and at
least one. What they sign names the ledger's line of the policy that it replaces, so that an old
signature brings no old policy back. A policy without approvers can be replaced by whoever writes
the ledger; it guards against mistakes, not against people.

Before there is any such line, the default policy is in force, and a file beside the outbox is not.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.outbox import published, withdrawals
from gdshare.errors import BundleError, KeyFileError, PolicyError, UsageError
from gdshare.ledger import Entry, Ledger, anchor_of, in_one_line
from gdshare.plain_files import read_plain
from gdshare.release.policy import (
    Policy,
    is_by_default,
    parse_policy,
    policy_digest,
    policy_path,
    read_policy,
    read_policy_file,
)
from gdshare.signing import fingerprint
from gdshare.signing.keys import public_pem
from gdshare.signing.statement import Statement, sign_statement, verify_self_signed
from gdshare.storage import make_folder, write_bytes

POLICY = "policy"
SUBJECT = "gdshare-policy"
PREDICATE_TYPE = "https://gdshare/policy/v1"
MAX_SIGNATURE = 16 * 1024
MAX_SIGNATURES = 100
NEW, SIGN = "gdshare policy new", "gdshare policy sign"
_ACTS = ("prepare", "approve", "release")


def policies_folder(outbox: Path) -> Path:
    """The folder of the policies' texts and signatures, beside the outbox."""
    real = outbox.resolve()
    return real.with_name(f"{real.name}-policies")


def policy_in_force(outbox: Path, entries: Sequence[Entry]) -> Policy:
    """The policy that the ledger names; the default policy where it never named another.

    Args:
        outbox: the outbox.
        entries: of its ledger.

    Raises:
        PolicyError: the file beside the outbox says something else; a policy was put into the
            ledger without the signatures it needs; or none was ever put there, and the outbox is
            not one of the default policy.
    """
    pinned = pinned_policy(outbox, entries)
    if pinned is None:
        _require_default(outbox, entries)
        return Policy()
    path = policy_path(outbox)
    kept = policies_folder(outbox) / f"{policy_digest(pinned)}.toml"
    if not os.path.lexists(path) and pinned != Policy():
        raise PolicyError(
            "the policy is gone, and the ledger shows that there was one",
            path,
            f"put it back from {kept}",
        )
    if read_policy(outbox) != pinned:
        command = SIGN if pinned.release.approvers else NEW
        raise PolicyError(
            "this is not the policy in force, which is the one that the ledger names",
            path,
            f"put that one back from {kept}, or have this one come into force with {command}",
        )
    return pinned


def pinned_policy(outbox: Path, entries: Iterable[Entry]) -> Policy | None:
    """The last policy in the ledger, each one checked against the one before; None without any.

    Raises:
        PolicyError: the text of a policy is missing or another, or signatures are.
    """
    policy: Policy | None = None
    pin: Entry | None = None
    for entry in entries:
        if entry.act != POLICY:
            continue
        following = _text_of(outbox, entry)
        if policy is not None and pin is not None:
            _require_signed(outbox, pin, policy, entry)
        policy, pin = following, entry
    return policy


def last_pin(entries: Iterable[Entry]) -> Entry | None:
    """The ledger's line of the policy in force."""
    return next((entry for entry in reversed(list(entries)) if entry.act == POLICY), None)


def signatures_needed(policy: Policy) -> int:
    """How many approvers must sign the policy that follows; 0 where there are none."""
    return max(1, policy.release.approvals) if policy.release.approvers else 0


def signers_of(outbox: Path, pin: Entry, policy: Policy, digest: str) -> tuple[str, ...]:
    """The fingerprints of the approvers who signed a policy as the next.

    Args:
        outbox: the outbox.
        pin: the ledger's line of the policy before.
        policy: that policy.
        digest: of the next one.

    Raises:
        PolicyError: a signature there is damaged or of somebody else.
    """
    prefix = _prefix(pin, digest)
    paths = sorted(policies_folder(outbox).glob(f"{prefix}-*.sig"))
    if len(paths) > MAX_SIGNATURES:
        raise PolicyError(
            f"holds {len(paths)} signatures of one policy", policies_folder(outbox), "remove them"
        )
    return tuple(sorted({_signer(path, pin, policy, digest) for path in paths}))


def begin_policy(
    outbox: Path, ledger: Ledger, content: bytes, site: str, by: str, now: datetime
) -> None:
    """Bring a policy into force where nobody needs to sign it; again is once.

    Args:
        outbox: the outbox.
        ledger: its ledger, locked.
        content: the policy, TOML.
        site: whose outbox it is.
        by: who does it.
        now: UTC.

    Raises:
        PolicyError: the policy before has approvers, or ``content`` is no policy.
    """
    policy = parse_policy(content, policy_path(outbox))
    before = pinned_policy(outbox, ledger.entries)
    if policy == before:
        return restore_policy(outbox, content)
    if before is not None and before.release.approvers:
        raise PolicyError(
            "has a policy, and its approvers must sign the next",
            outbox,
            f"have one of them sign it with {SIGN}",
        )
    named = len(policy.release.approvers)
    why = f"approvers: {named}" if before is None else f"replaces {policy_digest(before)}"
    return _put(outbox, ledger, content, policy, site, by, now, why)


def propose_policy(
    outbox: Path,
    ledger: Ledger,
    content: bytes,
    by: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """Sign the policy that is to follow the one in force.

    Returns:
        the fingerprints of all who have signed it, this key's included.

    Raises:
        PolicyError: there is no policy whose approvers could sign, or this key is not theirs.
    """
    policy = parse_policy(content, policy_path(outbox))
    pin, before = _signable(outbox, ledger.entries)
    signer = fingerprint(key.public_key())
    if signer not in before.release.approvers:
        raise PolicyError(
            f"the key {signer} is not among the approvers of the policy in force",
            remedy="sign with a key that is",
        )
    digest = policy_digest(policy)
    if dry_run:
        return tuple(sorted({signer, *signers_of(outbox, pin, before, digest)}))
    folder = policies_folder(outbox)
    make_folder(folder)
    write_bytes(folder / f"{digest}.toml", content)
    statement = _statement(pin, digest, by, key.public_key())
    path = folder / f"{_prefix(pin, digest)}-{signer[:16]}.sig"
    write_bytes(path, sign_statement(statement, key))
    return signers_of(outbox, pin, before, digest)


def adopt_policy(outbox: Path, ledger: Ledger, content: bytes, by: str, now: datetime) -> None:
    """Bring a signed policy into force.

    Raises:
        PolicyError: too few of the approvers have signed it.
    """
    policy = parse_policy(content, policy_path(outbox))
    pin, before = _signable(outbox, ledger.entries)
    signers = signers_of(outbox, pin, before, policy_digest(policy))
    _require_enough(signers, before, policy_path(outbox))
    why = f"replaces {policy_digest(before)}, signed by {', '.join(signers)}"
    _put(outbox, ledger, content, policy, pin.what, by, now, why)


def restore_policy(outbox: Path, content: bytes) -> None:
    """Write the file beside the outbox again: a kill may have come before it was written."""
    write_bytes(policy_path(outbox), content)


def _put(
    outbox: Path,
    ledger: Ledger,
    content: bytes,
    policy: Policy,
    site: str,
    by: str,
    now: datetime,
    why: str,
) -> None:
    """First its text, then the ledger's line, from which on it is in force, then the file."""
    digest = policy_digest(policy)
    folder = policies_folder(outbox)
    make_folder(folder)
    write_bytes(folder / f"{digest}.toml", content)
    ledger.write(now, POLICY, by, site, digest, in_one_line(why))
    restore_policy(outbox, content)


def _signable(outbox: Path, entries: Sequence[Entry]) -> tuple[Entry, Policy]:
    pin, policy = last_pin(entries), pinned_policy(outbox, entries)
    if pin is None or policy is None or not policy.release.approvers:
        raise PolicyError(
            "has no policy whose approvers could sign the next", outbox, f"make it with {NEW}"
        )
    return pin, policy


def _require_default(outbox: Path, entries: Sequence[Entry]) -> None:
    path = policy_path(outbox)
    if os.path.lexists(path):
        read_policy(outbox)  # what is wrong with it comes first
        raise PolicyError(
            "is not in force, since the outbox's ledger does not name it",
            path,
            f"look at it, and have it come into force with {NEW}",
        )
    # Only these lines' reasons are written by gdshare; a withdrawal's is free text.
    if any(entry.act in _ACTS and not is_by_default(entry.why) for entry in entries):
        raise PolicyError(
            "the policy is gone, and the ledger shows that there was one",
            path,
            f"put it back, and have it come into force with {NEW}",
        )
    if not entries and (published(outbox) or withdrawals(outbox)):
        raise UsageError(
            "holds bundles, and the ledger that records them is gone", outbox, "put it back"
        )


def _text_of(outbox: Path, entry: Entry) -> Policy:
    """A policy in the ledger, from its text."""
    if entry.digest == policy_digest(Policy()):
        return Policy()
    path = policies_folder(outbox) / f"{entry.digest}.toml"
    policy = parse_policy(read_policy_file(path), path)
    if policy_digest(policy) != entry.digest:
        raise PolicyError("is not the policy that the ledger names", path, "put that one back")
    return policy


def _require_signed(outbox: Path, pin: Entry, policy: Policy, entry: Entry) -> None:
    signers = signers_of(outbox, pin, policy, str(entry.digest))
    where = f"line {entry.number} of the ledger, a policy"
    _require_enough(signers, policy, where)


def _require_enough(signers: Sequence[str], policy: Policy, where: object) -> None:
    needed = signatures_needed(policy)
    if len(signers) < needed:
        raise PolicyError(
            f"signed by {len(signers)} of the {needed} approvers of the policy before it who must",
            where,
            f"have it signed with {SIGN}",
        )


def _signer(path: Path, pin: Entry, policy: Policy, digest: str) -> str:
    try:
        data = read_plain(path, MAX_SIGNATURE, follow=False)
        statement, key = verify_self_signed(data, path.name, MAX_SIGNATURE)
    except (OSError, BundleError, KeyFileError) as error:
        raise PolicyError(
            f"not a sound signature ({error})", path, "have it signed again"
        ) from error
    signer, by = fingerprint(key), str(statement.predicate.get("by"))
    expected = _statement(pin, digest, by, key)
    if not by.isprintable() or statement.to_bytes() != expected.to_bytes():
        raise PolicyError("signs another policy, or after another", path, "have it signed again")
    if signer not in policy.release.approvers:
        raise PolicyError(
            f"signed with {signer}, no approver of the policy before", path, "remove it"
        )
    return signer


def _prefix(pin: Entry, digest: str) -> str:
    return f"{anchor_of(pin).sha256[:16]}-{digest[:16]}"


def _statement(pin: Entry, digest: str, by: str, key: ec.EllipticCurvePublicKey) -> Statement:
    """An approver agrees that this policy follows the one of that line."""
    pem = public_pem(key).decode("ascii")
    return Statement(
        SUBJECT, digest, PREDICATE_TYPE, {"after": anchor_of(pin).sha256, "by": by, "key": pem}
    )
