"""A hospital's desk: a finished run, three people's keys, a policy and an outbox."""

import json
from pathlib import Path

from bundle_run_kit import make_run
from command_kit import Ended, gdshare

from gdshare.ledger import read_ledger
from gdshare.signing import fingerprint, load_public_key


class Desk:
    """A hospital's: a run, the keys of three people, a policy and an outbox."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outbox = folder, folder / "outbox"
        self.prepared, self.policy = folder / "prepared", folder / "outbox-policy.toml"
        make_run(folder / "run")
        for name in ("st-mary", "officer", "head"):
            gdshare("keys", "new", "--name", name, "--out", folder / "keys")
        self.rule(approvals=1, approvers=("officer", "head"))

    def key(self, name: str, kind: str = "key") -> Path:
        return self.folder / "keys" / f"{name}.{kind}"

    def rule(self, approvals: int, approvers: tuple[str, ...], more: str = "") -> None:
        """Bring a policy into force, as the first of a new ledger."""
        named = [fingerprint(load_public_key(self.key(name, "pub"))) for name in approvers]
        text = f"[release]\napprovals = {approvals}\napprovers = {json.dumps(named)}\n{more}"
        for path in self.folder.glob("outbox-ledger.jsonl*"):
            path.unlink()
        self.policy.write_text(text, encoding="utf-8")
        self.new = gdshare("policy", "new", "--outbox", self.outbox, "--site", "st-mary")

    def prepare(self, *more: object) -> Ended:
        words = ("--out", self.prepared, "--outbox", self.outbox, "--site", "st-mary")
        return gdshare("prepare", self.folder / "run", *words, *more)

    def approve(
        self, name: str = "officer", digest: str | None = None, by: str | None = None
    ) -> Ended:
        words = ("--key", self.key(name), "--outbox", self.outbox)
        seen = ("--digest", self.shown()[:16] if digest is None else digest)
        return gdshare("approve", self.prepared, *words, *seen, "--by", by or name)

    def shown(self) -> str:
        """The digest that the page shows."""
        page = (self.prepared / "review.html").read_text(encoding="utf-8")
        return page.split("Digest of all: <code>")[1][:64]

    def release(self, *more: object, signer: str = "st-mary") -> Ended:
        words = ("--key", self.key(signer), "--outbox", self.outbox)
        return gdshare("release", self.prepared, *words, *more)

    def entries(self) -> list[str]:
        """What was done since the policy came into force."""
        entries = read_ledger(self.folder / "outbox-ledger.jsonl")
        return [entry.act for entry in entries if entry.act != "policy"]

    def refused(self, told: str, *more: object, signer: str = "st-mary", status: int = 3) -> None:
        """Nothing leaves, and one sentence says why; 3: a rule refuses it, 2: a mix-up does."""
        ended, _, err = self.release(*more, signer=signer)
        assert (ended, err.count("\n")) == (status, 1), err
        assert told in err
        assert not self.outbox.exists()
        assert "release" not in self.entries()
