"""A new ``gdshare.toml``, every key with its meaning; those that nobody needs are commented out."""

import json
from collections.abc import Mapping

from gdshare.config.keys import KEYS, Key, Role

HOSPITAL: Mapping[str, str] = {
    name: name for name in ("store", "cohort", "run", "prepared", "outbox")
} | {"ledger": "outbox-ledger.jsonl"}
AGGREGATOR: Mapping[str, str] = {
    "superlink": "127.0.0.1:8000",
    "trust": "trust",
    "ledger": "trust-ledger.jsonl",
}
"""What a new file gives; the names are those of the guides."""
_HEAD = (
    "# What gdshare takes for options that are not typed. A relative path is relative to this",
    "# file. The command line comes first, then the environment (GDSHARE_OUTBOX, ...), then this",
    "# file, if nobody but you or root can write it. No passphrase belongs in here.",
)


def new_config(role: Role, name: str) -> bytes:
    """Write a new file's text.

    Args:
        role: a hospital's, or the aggregator's.
        name: the short name of either.
    """
    own = {"site": name} if role == "hospital" else {"name": name}
    given = {**own, **(HOSPITAL if role == "hospital" else AGGREGATOR)}
    if role == "hospital":
        given |= {"key": f"keys/{name}.key"}
    keys = [key for key in KEYS.values() if key.role in (role, "both")]
    lines = [_line(key, given.get(key.name)) for key in keys]
    return "".join(f"{line}\n" for line in (*_HEAD, *lines)).encode()


def _line(key: Key, value: str | None) -> str:
    text = f"# {key.name} = {key.example}" if value is None else f"{key.name} = {json.dumps(value)}"
    return f"{text:<38} # {key.meaning}"
