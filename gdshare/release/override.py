"""An approver lets a bundle out although an attack finds more than the policy's bound allows.

One file per approver who does, ``overrides/FINGERPRINT.sig`` in the prepared folder: a
``gdshare.signing.statement`` whose subject is the content's digest. It names the policy, every
bound that is overridden with the figure that breaks it, and the reason; so it holds for no other
content, policy or figure. Only bounds on attacks that were tried can be overridden: what was not
tried, too many images or too few patients take another policy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle.digests import SUBJECT
from gdshare.errors import BundleError, KeyFileError, PolicyError, UsageError
from gdshare.ledger import MAX_TEXT
from gdshare.plain_files import read_plain
from gdshare.release.approval import MAX_BYTES, MAX_FILES, require_approver
from gdshare.release.policy import Policy, policy_digest
from gdshare.release.prepared import Prepared
from gdshare.release.rules import broken_bounds
from gdshare.signing import fingerprint
from gdshare.signing.keys import public_pem
from gdshare.signing.statement import Statement, sign_statement, verify_self_signed
from gdshare.storage import make_folder, write_bytes

OVERRIDES: Final = "overrides"
PREDICATE_TYPE: Final = "https://gdshare/override/v1"
MAX_REASON: Final = 300
_NAME = re.compile(r"[0-9a-f]{64}\.sig")
_AGAIN = "have it overridden again with gdshare approve --despite"


@dataclass(frozen=True)
class Override:
    """A verified override.

    Attributes:
        fingerprint: of the key that signed it.
        by: the approver's name, as the approver gave it.
        why: the reason.
        bounds: that are overridden, in words.
    """

    fingerprint: str
    by: str
    why: str
    bounds: tuple[str, ...]

    @property
    def text(self) -> str:
        """For the ledger, whose texts are short: the whole reason, and as many bounds as fit."""
        bounds, room = "; ".join(self.bounds), MAX_TEXT - len(f": {self.why}")
        return f"{bounds if len(bounds) <= room else f'{bounds[: room - 1]}…'}: {self.why}"


def sign_override(
    prepared: Prepared, policy: Policy, by: str, why: str, key: ec.EllipticCurvePrivateKey
) -> tuple[Override, bytes]:
    """Override every bound on attacks that a prepared bundle breaks; nothing is written.

    Args:
        prepared: what would leave.
        policy: the hospital's.
        by: the approver's name.
        why: printable ASCII, at most ``MAX_REASON`` characters.
        key: the approver's.

    Returns:
        the override, and its signed file.

    Raises:
        PolicyError: this key may not approve.
        UsageError: no such bound is broken, or the reason is empty, too long, or cannot be shown.
    """
    require_approver(policy, key.public_key())
    if not why.strip() or len(why) > MAX_REASON or not (why.isascii() and why.isprintable()):
        raise UsageError(
            f"is no reason of 1 to {MAX_REASON} characters", "--despite", "write plain text"
        )
    bounds = broken_bounds(policy, prepared.manifest)
    if not bounds:
        raise UsageError("no attack finds more than the policy allows", "--despite", "leave it out")
    statement = _statement(prepared, policy, by, why, key.public_key())
    signed = sign_statement(statement, key)
    return Override(fingerprint(key.public_key()), by, why, bounds), signed


def write_override(prepared: Prepared, override: Override, signed: bytes) -> None:
    """Put an override into the prepared folder, after the ledger has its line."""
    folder = prepared.path / OVERRIDES
    make_folder(folder)
    write_bytes(folder / f"{override.fingerprint}.sig", signed)


def read_overrides(prepared: Prepared, policy: Policy) -> tuple[Override, ...]:
    """Read all overrides.

    Raises:
        PolicyError: any file there is damaged, is about other content, figures or another policy,
            or is signed with a key that may not approve.
    """
    folder = prepared.path / OVERRIDES
    paths = sorted(folder.glob("*"))
    if len(paths) > MAX_FILES:
        raise PolicyError(f"holds {len(paths)} files", folder, "remove them")
    return tuple(_read(path, prepared, policy) for path in paths)


def others_override(overrides: Sequence[Override], signer: str) -> Override | None:
    """The first override by somebody other than the one who signs the bundle, if there is one.

    Args:
        overrides: verified.
        signer: fingerprint of the key that signs the bundle.
    """
    return next((part for part in overrides if part.fingerprint != signer), None)


def _read(path: Path, prepared: Prepared, policy: Policy) -> Override:
    if _NAME.fullmatch(path.name) is None:
        raise PolicyError(f"{path.name!r:.100} is not an override", path.parent, "remove it")
    try:
        data = read_plain(path, MAX_BYTES, follow=False)
        statement, key = verify_self_signed(data, path.name, MAX_BYTES)
    except (OSError, BundleError, KeyFileError) as error:
        raise PolicyError(f"not a sound override ({error})", path, _AGAIN) from error
    by, why = (str(statement.predicate.get(name)) for name in ("by", "why"))
    if not by.isprintable() or not why.isprintable():
        raise PolicyError("not a sound override (its text cannot be shown)", path, _AGAIN)
    if statement.to_bytes() != _statement(prepared, policy, by, why, key).to_bytes():
        raise PolicyError(
            "overrides the bounds for other content or figures, or of another policy, than there "
            "is now",
            path,
            _AGAIN,
        )
    require_approver(policy, key)
    return Override(fingerprint(key), by, why, broken_bounds(policy, prepared.manifest))


def _statement(
    prepared: Prepared, policy: Policy, by: str, why: str, key: ec.EllipticCurvePublicKey
) -> Statement:
    predicate = {
        "policy": policy_digest(policy),
        "bounds": list(broken_bounds(policy, prepared.manifest)),
        "why": why,
        "by": by,
        "key": public_pem(key).decode("ascii"),
    }
    return Statement(SUBJECT, prepared.digest, PREDICATE_TYPE, predicate)
