"""Whose keys are trusted: a folder of the hospitals' keys, and its ledger, which takes trust away.

An aggregator has such a list, and so does each hospital's node. ``keys`` reads and writes the
folder, ``key_history`` reads from the ledger which keys were trusted, ended and revoked.
"""
