"""A model that the node trains itself, from bundles by hospitals that its operator trusts.

So it counts films with no model that somebody crafted: there are no weights to believe, only images
that other hospitals released under keys which this one has checked, and a seed. Its own bundle must
be among them, unless another's is to be tested alone, on validation films. Training takes seconds,
classifying minutes (docs/adr/0029-the-node-trains-what-it-counts.md).

A bundle that was shown before may be named, and so may a model (``kept``). Both are checked again
each time: a key revoked or a bundle withdrawn meanwhile ends their use.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from gdshare.announcement import is_shared_model, read_announcement
from gdshare.bundle import Bundle, read_folder, verify_files
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.bundle.outbox import newest
from gdshare.contributions import contribution_of
from gdshare.errors import (
    AnnouncementError,
    BundleError,
    DivergedError,
    GdshareError,
    ModelError,
    UsageError,
)
from gdshare.ledger import read_ledger
from gdshare.messages import CountRequest, Reason, Recipe, RecipeBundle
from gdshare.model import Model
from gdshare.networks import INITIALISERS, Parameters
from gdshare.pooling import Contribution, Scheme, train_pooled
from gdshare.release.publish import WITHDRAW
from gdshare.signing.statement import signer_of
from gdshare.theta0 import shared_weights
from gdshare.trust.key_history import key_ends, revoked_keys
from gdshare.trust.keys import Trust, ledger_beside, load_trust
from hospital_node.activity import Report, say_nothing
from hospital_node.kept import (
    ModelOrigin,
    Shelf,
    bundle_shelf,
    keep_bundle,
    keep_model,
    kept_bundle,
    kept_model,
    model_shelf,
)
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings


def train_tied(
    settings: NodeSettings, request: CountRequest, recipe: Recipe, report: Report = say_nothing
) -> Model:
    """Verify the bundles and train the model, unless the very same was trained before.

    Raises:
        RefusedError: a bundle is not one that this node trusts, this hospital's own is not among
            them, one is named that was never shown, or no such model can be trained from them.
    """
    contributions = _checked(settings, request, recipe)
    shelf = model_shelf(settings.state)
    name = recipe.digest(request.network, request.protocol)
    kept = kept_model(shelf, name)
    if kept is not None:
        return _read(request, kept[1])
    try:
        scheme = _scheme(recipe.pooling)
        report("training", 0, recipe.ensemble)
        model = train_pooled(
            contributions,
            request.protocol,
            scheme,
            recipe.seed,
            recipe.ensemble,
            lambda done, of: report("training", done, of),
        )
    except (UsageError, DivergedError) as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error
    weights = model.to_bytes()
    origin = ModelOrigin(
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        pooling=recipe.pooling,
        seed=recipe.seed,
        ensemble=recipe.ensemble,
        bundles=recipe.bundle_digests,
    )
    keep_model(shelf, name, origin, weights)
    return model


def _shared(settings: NodeSettings, bundle: Bundle) -> Parameters | None:
    """The weights of the shared model that a bundle was distilled for, if it was.

    Raises:
        RefusedError: nobody here consents to that model.
    """
    manifest = bundle.manifest
    theta0 = manifest.theta0_sha256
    if theta0 is None or not is_shared_model(theta0, manifest.method.theta0_number):
        return None
    why = f"{manifest.name} was distilled for a shared model ({theta0:.16})"
    if settings.announcements is None:
        raise RefusedError(
            Reason.BUNDLES_REFUSED, f"{why}, and the settings name no folder announcements"
        )
    try:
        start = read_announcement(settings.announcements / theta0)
        return shared_weights(start.weights, manifest.method, manifest.protocol.side)
    except (AnnouncementError, UsageError) as error:
        raise RefusedError(Reason.BUNDLES_REFUSED, f"{why}: {error}") from error


def model_of_name(settings: NodeSettings, request: CountRequest, name: str) -> tuple[Model, bool]:
    """The model that an earlier question was about, and whether this node trained it.

    A trained one is given only while its bundles pass every check that they passed then; nothing is
    trained.

    Raises:
        RefusedError: it is not here, or a bundle is trusted no more.
    """
    kept = kept_model(model_shelf(settings.state), name)
    if kept is None:
        raise RefusedError(Reason.MODEL_UNKNOWN, f"model {name:.16} is not kept here")
    origin, weights = kept
    if not origin.bundles:
        return _read(request, weights), False
    recipe = Recipe(origin.pooling, origin.seed, origin.ensemble, origin.bundles)
    if recipe.digest(request.network, request.protocol) != name:
        raise RefusedError(
            Reason.MODEL_UNKNOWN, f"model {name:.16} is of another network or protocol"
        )
    _checked(settings, request, recipe)
    return _read(request, weights), True


def _read(request: CountRequest, weights: bytes) -> Model:
    try:
        return Model.from_bytes(request.network, request.protocol, weights)
    except ModelError as error:
        raise RefusedError(Reason.MODEL_REFUSED, str(error)) from error


def _checked(settings: NodeSettings, request: CountRequest, recipe: Recipe) -> list[Contribution]:
    """What the bundles of a recipe bring, each verified now; those that arrived are kept."""
    now = utc_now()
    shelf = bundle_shelf(settings.state)
    in_full = [_in_full(shelf, bundle) for bundle in recipe.bundles]
    keys, withdrawn = _trusted_keys(settings.trust, now)
    bundles = [_verified(files, keys, withdrawn, now) for files in in_full]
    for files, bundle in zip(in_full, recipe.bundles, strict=True):
        if not isinstance(bundle, str):
            keep_bundle(shelf, files)
    _require_fit(request, bundles)
    if len(bundles) > 1 or request.split == "test":
        _require_own(settings.outbox, bundles)
    return [contribution_of(bundle, _shared(settings, bundle)) for bundle in bundles]


def _in_full(shelf: Shelf, bundle: RecipeBundle) -> Mapping[str, bytes]:
    if not isinstance(bundle, str):
        return bundle
    files = kept_bundle(shelf, bundle)
    if files is None:
        raise RefusedError(Reason.BUNDLE_UNKNOWN, f"bundle {bundle:.16} is not kept here")
    return files


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


def _trusted_keys(folder: Path | None, now: datetime) -> tuple[Trust, set[str]]:
    """The keys on the node's list that are neither revoked nor ended, and what was withdrawn."""
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
    withdrawn = {entry.digest for entry in entries if entry.act == WITHDRAW and entry.digest}
    return Trust(tuple(key for key in trust.keys if key.fingerprint not in out)), withdrawn


def _verified(
    files: Mapping[str, bytes], trust: Trust, withdrawn: Collection[str], now: datetime
) -> Bundle:
    try:
        signer = signer_of(files[SIGNATURE], SIGNATURE, BOUNDS[SIGNATURE])
        key = trust.find(signer)
        if key is None:
            raise BundleError(
                f"signed with key {signer[:16]}, which is not on this node's list",
                remedy="add it with gdshare trust add, if its hospital reads out the fingerprint",
            )
        bundle = verify_files(files, key.key, now, key.site)
        if bundle.digest in withdrawn:
            raise BundleError(f"{bundle.manifest.name} was withdrawn", remedy="retrain without it")
        return bundle
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
