"""The commands of the core, one after another; a script, for environments without pytest.

``python core_walk.py FOLDER`` expects a finished run at FOLDER/run, and the passphrase of every key
in the environment. It prints, as JSON, the top-level modules that the commands imported.
"""

import io
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path


def gdshare(*words: object) -> str:
    """Run one command, which must succeed; returns what it printed."""
    from gdshare.cli.main import main

    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            main([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"gdshare {words[0]} failed, status {end.code}") from end
    return printed.getvalue()


def walk(folder: Path) -> None:
    """Make keys, have a prepared bundle approved, release, verify, seal and withdraw it."""
    keys, outbox, prepared = folder / "keys", folder / "outbox", folder / "prepared"
    for name in ("st-mary", "officer"):
        gdshare("keys", "new", "--name", name, "--out", keys)
    gdshare("keys", "new", "--name", "tokyo", "--out", keys, "--sealing")
    gdshare("keys", "request", keys / "st-mary.key", "--site", "st-mary")
    of_outbox = ("--outbox", outbox)
    approver = ("--approver", keys / "officer.pub")
    gdshare("policy", "new", *of_outbox, "--site", "st-mary", *approver)
    gdshare("prepare", folder / "run", "--out", prepared, *of_outbox, "--site", "st-mary")
    page = (prepared / "review.html").read_text()
    digest = re.findall("Digest of all: <code>([0-9a-f]{64})", page)[0]
    approval = ("--key", keys / "officer.key", *of_outbox, "--digest", digest)
    gdshare("approve", prepared, *approval)

    gdshare("release", prepared, "--key", keys / "st-mary.key", *of_outbox)
    gdshare("ledger", "verify", folder / "outbox-ledger.jsonl")

    said = gdshare("verify", outbox / "st-mary-1", "--key", keys / "st-mary.pub")
    if not said.startswith("yes: st-mary-1"):
        raise RuntimeError(said)

    sealed = folder / "st-mary-1.sealed"
    gdshare("seal", outbox / "st-mary-1", "--to", keys / "tokyo.seal.pub", "--out", sealed)
    gdshare("unseal", sealed, "--key", keys / "tokyo.seal.key", "--out", folder / "opened")
    gdshare("verify", folder / "opened" / "st-mary-1", "--key", keys / "st-mary.pub")
    gdshare("withdraw", "st-mary-1", "--key", keys / "st-mary.key", *of_outbox, "--digest", digest)


if __name__ == "__main__":
    walk(Path(sys.argv[1]))
    imported = {name.partition(".")[0] for name, module in sys.modules.items() if module}
    sys.stdout.write(json.dumps(sorted(imported)))
