"""Whose bundles the aggregator trusts: the trust list, and the ledger's history of it.

``keys`` reads and writes the folder of trusted keys, ``candidate`` a key that a hospital asks to
have trusted. ``key_history`` and ``bundle_history`` read from the ledger what happened to keys
(trusted, ended, revoked) and to bundles (admitted, quarantined, withdrawn). ``withdrawals`` records
the hospitals' withdrawals. ``commands`` are those of ``gdshare trust``: a key is revoked in
``commands.revoke``.
"""
