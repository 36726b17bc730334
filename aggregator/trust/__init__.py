"""Whose bundles the aggregator trusts, and the ledger's history of them.

The list of keys itself is ``gdshare.trust``. ``candidate`` is a key that a hospital asks to have
trusted. ``bundle_history`` reads from the ledger what happened to bundles (admitted, quarantined,
withdrawn). ``withdrawals`` records the hospitals' withdrawals. ``commands`` are those of ``gdshare
trust``: a key is revoked in ``commands.revoke``.
"""
