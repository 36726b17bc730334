"""The folder of a round's results: what lies in it.

``gdshare aggregate`` and the ServerApp are two processes on one machine; this folder is how they
speak. The command leaves the order; the ServerApp adds lines of progress, and at last either the
result or the failure.
"""

ORDER = "order.json"
PROGRESS = "progress.txt"
FAILURE = "failure.txt"
RESULT = "round.json"
TABLE = "table.txt"
REFUSALS = "refusals.jsonl"
MODEL = "model"
RECEIPTS = "receipts"

OUT = "out"
"""The one setting of the submitted app: this folder's path."""
