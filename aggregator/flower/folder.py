"""The files of a round's folder.

``gdshare aggregate`` and the ServerApp are two processes on one machine, and this folder is how
they talk. The command leaves the order; the ServerApp adds lines of progress and, at the end,
either the result or the failure.
"""

ORDER = "order.json"
PROGRESS = "progress.txt"
FAILURE = "failure.txt"
RESULT = "round.json"
TABLE = "table.txt"
PAGE = "report.html"
REFUSALS = "refusals.jsonl"
MODEL = "model"
RECEIPTS = "receipts"
RECORD = "round.sqlite"
LOCK = ".round.lock"
"""Locked by the ServerApp for as long as it lives."""

OUT = "out"
"""The only setting of the submitted app: this folder's path."""
