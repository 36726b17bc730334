"""Which node is whose: bound by a person, so that rounds name hospitals and not numbers.

``binding`` reads and writes the file beside the trust folder; ``commands`` are ``gdshare nodes``.
"""

from aggregator.nodes.binding import site_names

__all__ = ["site_names"]
