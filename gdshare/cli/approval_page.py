"""``gdshare approve --serve``: the page on which an approver looks, and types the digest."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from gdshare.cli.exit_status import INTERRUPTED
from gdshare.cli.terminal import print_text
from gdshare.cli.typed_digest import require_match
from gdshare.errors import PolicyError
from gdshare.extras import require_extra
from gdshare.release import Policy, Prepared, read_prepared, require_allowed
from gdshare.release.locked_outbox import open_outbox, require_owner
from gdshare.release.override import read_overrides
from gdshare.release.prepared import PAGE, Pages
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages

log = logging.getLogger(__name__)

LOOK = "look at review.html, which shows it at the top"


@dataclass(frozen=True)
class LookedAt:
    """What a person looked at on the page.

    Attributes:
        digest: as typed there.
        policy: that the page showed.
    """

    digest: str
    policy: Policy

    def require_same(self, policy: Policy) -> None:
        """Refuse another policy than the one that was shown.

        Raises:
            PolicyError: it changed since.
        """
        if policy != self.policy:
            raise PolicyError(
                "the policy changed while you looked", remedy="look again, at what it says now"
            )


def look_and_type(prepared: Path, outbox: Path, port: int, overriding: bool = False) -> LookedAt:
    """Serve the page until the digest was typed. Nothing is signed, and no key is read.

    Args:
        prepared: the folder of ``gdshare prepare``.
        outbox: whose policy counts.
        port: to listen on; 0: any free port.
        overriding: whether the approver is about to override bounds on attacks.

    Raises:
        UsageError: the port is taken.
        Exit: the page was left without typing.
        PolicyError: what would leave is not allowed.
        PolicyError, BundleError, RunError: it is not what it seems; see ``read_prepared``.
    """
    require_extra("page")
    from gdshare.approval_page import Shown, serve_approval

    bundle, policy = _verified(prepared, outbox, overriding)
    page = release_pages(bundle, policy)[PAGE]
    typed = serve_approval(
        Shown(bundle.manifest.name, page),
        partial(require_match, bundle.digest, option="the digest", remedy=LOOK),
        port,
        _announce,
    )
    if typed is None:
        log.info("%s: no digest was typed, so nothing is approved", bundle.manifest.name)
        raise typer.Exit(INTERRUPTED)
    return LookedAt(typed, policy)


def pages_for(policy: Policy) -> Pages:
    """The pages people review, by a policy."""
    return lambda prepared: release_pages(prepared, policy)


def _verified(prepared: Path, outbox: Path, overriding: bool) -> tuple[Prepared, Policy]:
    with open_outbox(outbox) as desk:
        bundle = read_prepared(prepared, render_preview, pages_for(desk.policy))
        require_owner(outbox, desk.ledger.entries, bundle.manifest.site)
        overridden = overriding or bool(read_overrides(bundle, desk.policy))
        require_allowed(desk.policy, bundle.manifest, overridden)
        return bundle, desk.policy


def _announce(address: str) -> None:
    print_text(f"open once, in a browser on this machine  {address}\n", err=True)
    print_text("it signs nothing; stop with Ctrl-C\n", err=True)
