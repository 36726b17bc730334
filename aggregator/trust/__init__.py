"""Whose bundles the aggregator believes, and what it has seen of them before.

``keys`` reads and writes the folder of trusted keys, ``candidate`` the key a hospital asks to have
trusted; ``key_history`` and ``bundle_history`` read the ledger for what became of keys (trusted,
ended, revoked) and of bundles (admitted, quarantined, refused); ``withdrawals`` records what
hospitals take back. ``commands`` is ``gdshare trust``.
"""
