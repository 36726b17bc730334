"""``gdshare trust``: whose bundles the aggregator believes; a module per command."""

from aggregator.trust.commands.revoke import register

__all__ = ["register"]
