"""A model that the node trains itself, from bundles by hospitals that its operator trusts.

So it counts films with no model that somebody crafted: there are no weights to believe, only images
that other hospitals released under keys which this one has checked, and a seed. Its own bundle must
be among them, unless another's is to be tested alone, on validation films. Training takes seconds,
classifying minutes (docs/adr/0029-the-node-trains-what-it-counts.md).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from gdshare.bundle import Bundle, read_folder, verify_files
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.bundle.outbox import newest
from gdshare.contributions import contribution_of
from gdshare.errors import BundleError, DivergedError, GdshareError, UsageError
from gdshare.ledger import read_ledger
from gdshare.messages import CountRequest, Reason, Recipe, RecipeBundle
from gdshare.model import Model
from gdshare.networks import INITIALISERS
from gdshare.pooling import Scheme, train_pooled
from gdshare.signing.statement import signer_of
from gdshare.trust.key_history import key_ends, revoked_keys
from gdshare.trust.keys import Trust, ledger_beside, load_trust
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings


def train_tied(settings: NodeSettings, request: CountRequest, recipe: Recipe) -> Model:
    """Verify the bundles and train the model.

    Raises:
        RefusedError: a bundle is not one that this node trusts, this hospital's own is not among
            them, or no such model can be trained from them.
    """
    trust = _trusted_keys(settings.trust, utc_now())
    bundles = [_verified(files, trust, utc_now()) for files in recipe.bundles]
    _require_fit(request, bundles)
    if len(bundles) > 1 or request.split == "test":
        _require_own(settings.outbox, bundles)
    contributions = [contribution_of(bundle) for bundle in bundles]
    try:
        scheme = _scheme(recipe.pooling)
        return train_pooled(contributions, request.protocol, scheme, recipe.seed, recipe.ensemble)
    except (UsageError, DivergedError) as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def _trusted_keys(folder: Path | None, now: datetime) -> Trust:
    """The keys on the node's list that are neither revoked nor ended."""
    if folder is None:
        raise RefusedError(Reason.NO_TRUST_LIST, "the settings name no folder trust")
    try:
        trust = load_trust(folder)
        entries = read_ledger(ledger_beside(folder))
        revoked, ends = revoked_keys(entries), key_ends(entries)
    except GdshareError as error:
        raise RefusedError(Reason.NO_TRUST_LIST, str(error)) from error
    ended = {key for key, end in ends.items() if now >= end}
    out = revoked.keys() | ended
    return Trust(tuple(key for key in trust.keys if key.fingerprint not in out))


def _verified(files: RecipeBundle, trust: Trust, now: datetime) -> Bundle:
    if isinstance(files, str):
        raise RefusedError(Reason.BUNDLE_UNKNOWN)
    try:
        signer = signer_of(files[SIGNATURE], SIGNATURE, BOUNDS[SIGNATURE])
        key = trust.find(signer)
        if key is None:
            raise BundleError(
                f"signed with key {signer[:16]}, which is not on this node's list",
                remedy="add it with gdshare trust add, if its hospital reads out the fingerprint",
            )
        return verify_files(files, key.key, now, key.site)
    except BundleError as error:
        raise RefusedError(Reason.BUNDLES_REFUSED, str(error)) from error


def _require_fit(request: CountRequest, bundles: Sequence[Bundle]) -> None:
    """Refuse two bundles of one hospital, and those for another network or protocol."""
    manifests = [bundle.manifest for bundle in bundles]
    if len({manifest.site for manifest in manifests}) < len(manifests):
        raise RefusedError(Reason.BUNDLES_REFUSED, "two of the bundles are of one hospital")
    for manifest in manifests:
        made_for = (manifest.method.network, manifest.initialiser, manifest.protocol)
        if made_for != (request.network, INITIALISERS.get(request.network), request.protocol):
            raise RefusedError(
                Reason.BUNDLES_REFUSED, f"{manifest.name} is for another network or protocol"
            )


def _require_own(outbox: Path, bundles: Sequence[Bundle]) -> None:
    """Refuse bundles without the one that this hospital hands over at present."""
    try:
        for bundle in bundles:
            own = newest(outbox, bundle.manifest.site)
            if own is not None and subject_digest(digests_of(read_folder(own))) == bundle.digest:
                return
    except BundleError as error:
        raise RefusedError(Reason.OUTBOX_UNREADABLE, str(error)) from error
    raise RefusedError(
        Reason.BUNDLES_REFUSED, "the newest bundle in this hospital's outbox is not among them"
    )


def _scheme(word: str) -> Scheme:
    for scheme in get_args(Scheme):
        if scheme == word:
            return scheme  # type: ignore[no-any-return]
    raise UsageError(f"unknown way of pooling {word!r:.40}")
