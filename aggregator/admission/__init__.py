"""Which of the collected bundles enter a round, and why the others do not.

``collected`` splits what nodes sent into bundles and withdrawals; ``verify`` holds each bundle to
the rules of signature, trust, freshness and fit; ``plausibility`` measures what a verified bundle
teaches (``utility``) and whether it agrees with the others (``agreement``); ``decide`` applies all
of that and records each decision in the ledger.
"""
