"""Which of the collected bundles enter the round. Nothing else looks at one before this.

For each bundle, in this order: size, names, signature, trust, content and freshness, all by
``gdshare.bundle.verify_files`` against the one key whose fingerprint the signature names, filed
under the very site the manifest names; then: its hospital has not withdrawn it; it is not older
than what that site had admitted or withdrawn before, nor another under the same number, that of a
quarantined one included; no other node handed over the same site's bundle; it is not for others;
then it fits the round. Each refusal has the name of its reason; the others go on.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from aggregator.refusals import (
    DoesNotFit,
    Equivocation,
    ExpiredKey,
    NotForMe,
    Refusal,
    RevokedKey,
    Rollback,
    SiteTwice,
    UnknownSite,
    Withdrawn,
)
from aggregator.trust.bundle_history import (
    Seen,
    admitted,
    newest_seen,
    quarantined_names,
    withdrawn,
)
from aggregator.trust.key_history import ends, revoked
from aggregator.trust.keys import Trust, TrustedKey
from aggregator.verified import Verified
from gdshare.bundle import Bundle, Manifest, verify_files
from gdshare.distill.problem import fixed_theta0
from gdshare.errors import BundleError, GdshareError
from gdshare.ledger import Entry
from gdshare.networks import INITIALISERS, build, digest
from gdshare.signing.errors import WrongKey


def admit(
    collected: Mapping[int, Mapping[str, bytes]],
    trust: Trust,
    now: datetime,
    same_steps: bool = True,
    entries: Sequence[Entry] = (),
    name: str | None = None,
) -> tuple[list[Verified], list[Refusal]]:
    """Sort collected bundles into admitted and refused.

    Args:
        collected: node -> file name -> content, from strangers.
        trust: whom to believe.
        now: the aggregator's clock, UTC.
        same_steps: in-step pooling also needs trajectories of one length.
        entries: of the aggregator's ledger: what was admitted and revoked before.
        name: the aggregator's own, by which hospitals name it as a recipient.
    """
    verified: list[Verified] = []
    refused: list[Refusal] = []
    for node, files in sorted(collected.items()):
        try:
            bundle, signer = _verify(files, trust, now, entries)
            verified.append(Verified(node, bundle, signer))
        except BundleError as error:
            refused.append(Refusal(node, None, type(error).__name__, str(error)))
    for check in (
        partial(_taken_back, gone=withdrawn(entries).keys()),
        partial(
            _outdated, seen=newest_seen(entries)
        ),  # before the next: a replayed one evicts nobody
        partial(_another_was_held, held=quarantined_names(entries)),
        _twice,
        partial(_for_others, name=name),
        partial(_misfits, same_steps=same_steps),
    ):
        faults = check(verified)
        refused += [
            Refusal(
                one.node,
                one.site,
                type(faults[one.node]).__name__,
                str(faults[one.node]),
                one.bundle.digest,
                one.bundle.manifest.name,
            )
            for one in verified
            if one.node in faults
        ]
        verified = [one for one in verified if one.node not in faults]
    return sorted(verified, key=lambda one: one.site), refused


def _verify(
    files: Mapping[str, bytes], trust: Trust, now: datetime, entries: Sequence[Entry]
) -> tuple[Bundle, str]:
    """Check against each key in turn; all but the right one say so before anything is parsed.

    Returns the bundle and its signer's fingerprint.
    """
    for one in trust.keys:
        try:
            bundle = verify_files(files, one.key, now, one.site)
        except WrongKey:
            continue
        if bundle.digest not in admitted(entries):
            _require_standing(one, now, entries)
        return bundle, one.fingerprint
    raise UnknownSite(
        "signed with a key that is on nobody's name", remedy="ask the hospital for its .pub"
    )


def _require_standing(signer: TrustedKey, now: datetime, entries: Sequence[Entry]) -> None:
    """For a bundle that is new here; its own times are its signer's to choose."""
    entry, end = revoked(entries).get(signer.fingerprint), ends(entries).get(signer.fingerprint)
    if entry is not None:
        raise RevokedKey(
            f"signed with a key of {signer.site} that was revoked on {entry.at:%Y-%m-%d}, "
            "and without an earlier admission that still stands",
            remedy="ask the hospital to publish with its new key",
        )
    if end is not None and now >= end:
        raise ExpiredKey(
            f"signed with a key of {signer.site} that ended on {end:%Y-%m-%d}, and not "
            "admitted before that",
            remedy="ask the hospital for a new key (gdshare keys rotate)",
        )


def _taken_back(
    verified: Sequence[Verified], gone: Collection[tuple[str, str]]
) -> dict[int, BundleError]:
    """For ever: a withdrawal cannot be withdrawn."""
    return {
        one.node: Withdrawn(
            f"{one.bundle.manifest.name} was withdrawn by its hospital",
            remedy="ask it for a newer one, and who still hands out the withdrawn one",
        )
        for one in verified
        if (one.bundle.manifest.name, one.bundle.digest) in gone
    }


def _twice(verified: Sequence[Verified]) -> dict[int, BundleError]:
    """A bundle can be copied, so it proves who signed it, not who sends it: refuse every copy."""
    nodes = Counter(one.site for one in verified)
    contents: dict[str, set[str]] = {}
    for one in verified:
        contents.setdefault(one.bundle.manifest.name, set()).add(one.bundle.digest)
    return {
        one.node: Equivocation(
            f"{one.bundle.manifest.name} was handed over with different contents",
            remedy="call the hospital: its key has signed both",
        )
        if len(contents[one.bundle.manifest.name]) > 1
        else SiteTwice(
            f"{nodes[one.site]} nodes handed over a bundle of {one.site}",
            remedy="stop the ones that are not that hospital's",
        )
        for one in verified
        if nodes[one.site] > 1
    }


def _another_was_held(
    verified: Sequence[Verified], held: Mapping[str, Collection[str]]
) -> dict[int, BundleError]:
    """A quarantined bundle is no site's newest, but its number was used for it."""
    return {
        one.node: Equivocation(
            f"{name} was quarantined before with another content",
            remedy="call the hospital: its key has signed both",
        )
        for one in verified
        if set(held.get(name := one.bundle.manifest.name, ())) - {one.bundle.digest}
    }


def _outdated(verified: Sequence[Verified], seen: Mapping[str, Seen]) -> dict[int, BundleError]:
    """A site's numbers only rise; the same bundle again is the same bundle."""
    faults: dict[int, BundleError] = {}
    for one in verified:
        newest, sequence = seen.get(one.site), one.bundle.manifest.sequence
        if newest is None or sequence > newest.sequence:
            continue
        if sequence < newest.sequence:
            faults[one.node] = Rollback(
                f"number {sequence} of {one.site}, of which number "
                f"{newest.sequence} was admitted or withdrawn before",
                remedy="ask the hospital for its newest, and who still hands out the old one",
            )
        elif one.bundle.digest != newest.digest:
            faults[one.node] = Equivocation(
                f"number {sequence} of {one.site} was admitted or "
                "withdrawn before with another content (digest "
                f"{newest.digest})",
                remedy="call the hospital: its key has signed both",
            )
    return faults


def _for_others(verified: Sequence[Verified], name: str | None) -> dict[int, BundleError]:
    """A bundle that names recipients is for them alone."""
    return {
        one.node: NotForMe(
            f"released to {', '.join(recipients)}, and this aggregator is "
            f"{name or 'not named (--name)'}",
            remedy=f"ask {one.site} to name it",
        )
        for one in verified
        if (recipients := one.bundle.manifest.terms.recipients) and name not in recipients
    }


def _misfits(verified: Sequence[Verified], same_steps: bool) -> dict[int, BundleError]:
    """The round's protocol is the one most bundles share; among equals, the first site's."""
    faults: dict[int, BundleError] = {
        one.node: DoesNotFit(
            "its fixed θ0 is not what its number gives with this machine's torch",
            remedy="agree on one torch release, or distil with --theta0 random",
        )
        for one in verified
        if not _draws_its_theta0(one.bundle.manifest)
    }
    sound = [one for one in verified if one.node not in faults]
    kinds = Counter(_kind(one, same_steps) for one in sorted(sound, key=lambda one: one.site))
    agreed = kinds.most_common(1)[0][0] if kinds else None
    for one in sound:
        manifest = one.bundle.manifest
        if manifest.initialiser != INITIALISERS[manifest.method.network]:
            faults[one.node] = DoesNotFit(
                f"its θ0 scheme {manifest.initialiser} is not the one drawn here",
                remedy="use the same gdshare at both ends",
            )
        elif _kind(one, same_steps) != agreed:
            faults[one.node] = DoesNotFit(
                "made with another patch protocol, network, fixed θ0 or "
                "number of steps than most bundles of this round",
                remedy="distil again as agreed",
            )
    return faults


def _kind(one: Verified, same_steps: bool) -> tuple[str, str, int, str]:
    manifest = one.bundle.manifest
    steps = manifest.method.trajectory if same_steps else 0
    theta0 = f"{manifest.theta0_sha256} {manifest.method.theta0_number}"
    return manifest.method.network, manifest.protocol.model_dump_json(), steps, theta0


def _draws_its_theta0(manifest: Manifest) -> bool:
    """Whether the number of a fixed θ0 gives, on this machine, the weights it is named by."""
    if manifest.theta0_sha256 is None:
        return True
    try:
        module = build(manifest.method.network, manifest.protocol.side)
        return digest(fixed_theta0(manifest.method, module)) == manifest.theta0_sha256
    except GdshareError:  # a side or a number that no network is drawn with
        return False
