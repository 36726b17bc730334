"""The first act: sending what a person put into the outbox, the newest bundle and withdrawals.

Both are made elsewhere, by ``gdshare publish`` and ``gdshare withdraw``, under another user of the
operating system. The node reads, within bounds, the six files of one bundle and the withdrawals;
it neither signs nor repairs. A withdrawn bundle is not sent, nor an older one in its place.
"""

import logging
from pathlib import Path

from gdshare.bundle import published, read_folder
from gdshare.bundle.attestation import MAX_BYTES
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.folder import read_plain
from gdshare.bundle.outbox import newest, site_of, withdrawals
from gdshare.errors import BundleError
from gdshare.messages import (
    MAX_WITHDRAWALS,
    CollectRequest,
    Fields,
    Reason,
    RequestError,
    Value,
    unchanged,
)
from hospital_node.activity import Report, say_nothing
from hospital_node.refusal import RefusedError
from hospital_node.settings import NodeSettings

log = logging.getLogger(__name__)


def answer_collect(
    settings: NodeSettings, received: Fields, report: Report = say_nothing
) -> dict[str, Value]:
    """Answer ``query.collect``: file name -> content; a bundle that is known, by its digest.

    Raises:
        RefusedError: the outbox is empty, or has something that is neither bundle nor withdrawal.
    """
    try:
        request = CollectRequest.from_fields(received)
    except RequestError as error:
        raise RefusedError(Reason.QUESTION_MALFORMED, str(error)) from error
    try:
        return _released(settings.outbox, request.have)
    except (BundleError, OSError) as error:
        raise RefusedError(Reason.OUTBOX_UNREADABLE, str(error)) from error


def _released(outbox: Path, have: str | None) -> dict[str, Value]:
    site = only_site(outbox)
    folder = newest(outbox, site)
    files = {} if folder is None else read_folder(folder)
    if newest(outbox, site) is None:  # withdrawn while it was read
        files = {}
    withdrawn = _withdrawals(outbox)
    if folder is None or not files:
        log.info("%s: handed over no bundle and %d withdrawals", site, len(withdrawn))
        return dict(withdrawn)
    digest = subject_digest(digests_of(files))
    known = digest == have
    log.info(
        "%s: %s %s (%.16s), and %d withdrawals",
        site,
        "the aggregator has" if known else "handed over",
        folder.name,
        digest,
        len(withdrawn),
    )
    return {**(unchanged(digest) if known else files), **withdrawn}


def only_site(outbox: Path) -> str:
    """The hospital whose outbox it is.

    Raises:
        RefusedError: nothing is in it, or things of several hospitals.
        BundleError, OSError: it cannot be read.
    """
    sites = {site_of(path) for path in (*published(outbox), *withdrawals(outbox))}
    if not sites:
        raise RefusedError(Reason.NOTHING_RELEASED)
    if len(sites) > 1:
        raise RefusedError(
            Reason.OUTBOX_UNREADABLE, f"{outbox}: has bundles of several sites; keep one per node"
        )
    return sites.pop()


def _withdrawals(outbox: Path) -> dict[str, bytes]:
    """The newest withdrawals, as many as an answer takes."""
    paths = withdrawals(outbox)
    if len(paths) > MAX_WITHDRAWALS:
        log.warning(
            "%s: has %d withdrawals, and %d are handed over; send the older ones by hand",
            outbox,
            len(paths),
            MAX_WITHDRAWALS,
        )
    return {path.name: read_plain(path, MAX_BYTES) for path in paths[-MAX_WITHDRAWALS:]}
