"""Which hospitals count films with a bundle's network: about ten of them, drawn.

All peers of each bundle would be N² questions. The hospitals are put into an order drawn for the
round, and each bundle is judged by the ``JUDGES`` that follow it, round the corner: so each
hospital judges as many bundles as there are judges of its own. The order depends on the round's
seed and on the digests of all its bundles, so that nobody who makes a bundle can choose who will
judge it.
"""

import hashlib
from collections.abc import Sequence

from aggregator.verified import Verified, may_see
from gdshare.seeding import numpy_generator

JUDGES = 10
"""Of each bundle. Twenty films of each give four times what a verdict takes (``LEAST_FILMS``)."""


def drawn_judges(bundles: Sequence[Verified], seed: int) -> dict[str, list[str]]:
    """Draw who judges each bundle; all others where there are at most ``JUDGES`` of them.

    Args:
        bundles: of different sites: those to be judged, whose sites are the judges as well.
        seed: of the round.

    Returns:
        site -> sites, none of them the same, in the order of ``bundles``. Those that its terms let
        see the bundle come before others, which would have to believe weights.
    """
    sites = [bundle.site for bundle in bundles]
    if len(bundles) - 1 <= JUDGES:
        return {site: [other for other in sites if other != site] for site in sites}
    generator = numpy_generator(seed, purpose_for("judges", bundles))
    ring = [bundles[place] for place in generator.permutation(len(bundles))]
    places = {site: place for place, site in enumerate(sites)}
    judges = {}
    for place, bundle in enumerate(ring):
        drawn = _first(bundle, ring, place)
        judges[bundle.site] = sorted(drawn, key=places.__getitem__)
    return judges


def _first(bundle: Verified, ring: Sequence[Verified], place: int) -> list[str]:
    """The ``JUDGES`` that follow it, those that may see it before others."""
    if not bundle.bundle.manifest.terms.recipients:
        return [ring[(place + step) % len(ring)].site for step in range(1, JUDGES + 1)]
    followers = [other.site for other in (*ring[place + 1 :], *ring[:place])]
    return sorted(followers, key=lambda site: not may_see(site, bundle))[:JUDGES]


def purpose_for(what: str, bundles: Sequence[Verified]) -> str:
    """The purpose of a draw that no maker of a bundle can foresee, for ``derived_seed``."""
    known = "".join(sorted(bundle.bundle.digest for bundle in bundles))
    return f"{what}/{hashlib.sha256(known.encode()).hexdigest()}"
