"""Which of the collected bundles enter a round, and why the others are refused.

``collected`` splits what nodes sent into bundles and withdrawals. ``verify`` refuses a bundle by
its bytes, signature and key, ``rules`` by trust, freshness and fit. ``plausibility`` screens what a
sound bundle teaches: its ``utility`` on films, its ``agreement`` with the other bundles. ``decide``
applies all of this and records each decision in the ledger.
"""
