"""Receipts: signed by the aggregator for a line of its ledger, recorded by the hospital."""

import json
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from round_kit import World, again, newer, released
from site_kit import NOW, make_bundle

import aggregator.aggregate_command
from aggregator.flower.cli import SuperLinkAddress, quiet_environment
from aggregator.flower.order import Order
from aggregator.receipts import Signer, receipts_for
from aggregator.results import table
from aggregator.round import Round
from gdshare.bundle.attestation import Receipt, Withdrawal, read_signed
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.errors import BundleError, LedgerError
from gdshare.ledger import Entry, open_ledger, read_ledger
from gdshare.signing import load_private_key, load_public_key, new_key
from gdshare.signing.names import hour_of


class Desk:
    """The aggregator, with a key of its own, and the hospital east."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.out, self.key = world.folder / "out", world.folder / "keys" / "tokyo.key"
        self.public = self.key.with_suffix(".pub")
        gdshare("keys", "new", "--name", "tokyo", "--out", self.key.parent)
        self.ledger = world.folder / "east" / "outbox-ledger.jsonl"

    def aggregate(self, *more: object, signed: bool = True) -> Ended:
        signing = ("--key", self.key, "--name", "tokyo") if signed else ()
        words = ("--superlink", "h:1", "--trust", self.world.folder / "trust", "--out", self.out)
        return gdshare("aggregate", *words, "--wait", 1, "--ensemble", 1, *signing, *more)

    def receipts(self) -> dict[str, Receipt]:
        public = load_public_key(self.public)
        return {
            path.name: read_signed(path.read_bytes(), public, Receipt)[0]
            for path in (self.out / "receipts").iterdir()
        }

    def has_released(self, site: str = "east", sequence: int = 1) -> str:
        """Put what the hospital has released into its ledger; returns the digest."""
        files = make_bundle(site, self.world.keys[site])
        digest = subject_digest(digests_of(files))
        with open_ledger(self.ledger) as book:
            book.write(NOW, "release", "A. Officer", f"{site}-{sequence}", digest, "")
        return digest

    def receive(self, name: str = "east-1.receipt", key: Path | None = None) -> Ended:
        outbox = self.world.folder / "east" / "outbox"
        words = ("--key", key or self.public, "--outbox", outbox)
        return gdshare("ledger", "receive", self.out / "receipts" / name, *words)

    def recorded(self) -> list[Entry]:
        return [entry for entry in read_ledger(self.ledger) if entry.act == "receipt"]

    def checks_ledger_with(self, *names: str) -> Ended:
        """Check the aggregator's ledger against receipts."""
        options = [word for name in names for word in ("--receipt", self.out / "receipts" / name)]
        return gdshare("ledger", "verify", self.world.ledger, *options, "--key", self.public)


@pytest.fixture
def desk(world: World, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)

    def in_memory(_: SuperLinkAddress, out: Path, order: Order) -> str:
        out.mkdir()
        (out / "order.json").write_text(order.model_dump_json(), encoding="utf-8")
        sites = [path.name for path in sorted(world.folder.glob("*")) if (path / "outbox").exists()]
        return table(Round(world.grid(*sites), order, NOW).run(out))

    monkeypatch.setattr(aggregator.aggregate_command, "run_round", in_memory)
    return Desk(released(world))


@pytest.fixture
def after_round(desk: Desk) -> Desk:
    """After a round with the bundle that east had released."""
    desk.has_released()
    assert desk.aggregate()[0] == 0
    return desk


# At the aggregator.


def test_every_bundle_that_was_admitted_or_refused_gets_a_signed_receipt(desk: Desk) -> None:
    newer(desk.world, "east", 2)
    desk.aggregate(signed=False)
    assert not (desk.out / "receipts").exists()
    again(desk.world)
    newer(desk.world, "east", 1)
    status, _, err = desk.aggregate()
    assert status == 0
    assert "admitted 2 bundles: north, west\n" in err
    assert f"signed 3 receipts in {desk.out / 'receipts'}" in err
    receipts = desk.receipts()
    assert {name: (receipt.verdict, receipt.reason) for name, receipt in receipts.items()} == {
        "east-1.receipt": ("refused", "Rollback"),
        "north-1.receipt": ("admitted", ""),
        "west-1.receipt": ("admitted", ""),
    }
    receipt = receipts["north-1.receipt"]
    assert (receipt.aggregator, receipt.site, receipt.sequence, receipt.at) == (
        "tokyo",
        "north",
        1,
        NOW,
    )
    entries = read_ledger(desk.world.ledger)
    assert (entries[receipt.line - 1].act, entries[receipt.line - 1].what) == ("admit", "north-1")
    assert receipt.line > 6, "of this round, not of the one before"


def test_round_that_fails_gives_receipts_for_what_it_refused(desk: Desk) -> None:
    for site in ("east", "north", "west"):
        newer(desk.world, site, 2)
    desk.aggregate(signed=False)
    again(desk.world)
    for site in ("east", "north", "west"):
        newer(desk.world, site, 1)
    status, _, err = desk.aggregate()
    assert status == 4
    assert "no bundle was admitted" in err
    assert {receipt.reason for receipt in desk.receipts().values()} == {"Rollback"}


def test_neither_key_nor_passphrase_is_in_anything_the_round_was_given_or_left(
    after_round: Desk,
) -> None:
    left = [path for path in after_round.out.rglob("*") if path.is_file()]
    assert any(path.name == "order.json" for path in left)
    for path in left:
        content = path.read_bytes()
        assert PASSPHRASE.encode() not in content
        assert b"PRIVATE KEY" not in content
        assert b"tokyo.key" not in content


def test_passphrase_does_not_reach_flowers_processes(tmp_path: Path, desk: Desk) -> None:
    assert PASSPHRASE not in quiet_environment(tmp_path).values()


def test_key_without_a_name_and_key_that_does_not_open_hold_no_round(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "by --name" in desk.aggregate("--key", desk.key, signed=False)[2]
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "wrong")
    assert "does not open with this passphrase" in desk.aggregate()[2]
    assert not desk.out.exists()
    assert read_ledger(desk.world.ledger) == []


def test_equal_verdicts_on_a_bundle_get_one_receipt_and_another_verdict_its_own(
    desk: Desk,
) -> None:
    desk.world.release("copy", make_bundle("east", desk.world.keys["east"]), "east")
    assert desk.aggregate()[0] == 0
    assert desk.receipts()["east-1.receipt"].reason == "SiteTwice"
    assert len(desk.receipts()) == 3
    again(desk.world)
    digest = subject_digest(digests_of(make_bundle("east", desk.world.keys["east"])))
    content = Withdrawal(site="east", sequence=1, at=hour_of(NOW))
    path = desk.world.folder / "east" / "outbox" / "east-1.withdrawal"
    path.write_bytes(content.signed(digest, desk.world.keys["east"]))
    desk.aggregate()
    verdicts = {
        name: receipt.verdict
        for name, receipt in desk.receipts().items()
        if name.startswith("east")
    }
    assert sorted(verdicts.values()) == ["refused", "withdrawn"]
    assert verdicts["east-1.receipt"] == "withdrawn"


def test_withdrawal_that_came_as_a_file_gets_a_receipt(desk: Desk) -> None:
    digest = desk.has_released()
    arrived = desk.world.folder / "east-1.withdrawal"
    withdrawal = Withdrawal(site="east", sequence=1, at=hour_of(NOW))
    arrived.write_bytes(withdrawal.signed(digest, desk.world.keys["east"]))
    words = ("--trust", desk.world.folder / "trust", "--receipts", desk.out / "receipts")
    signing = ("--key", desk.key, "--name", "tokyo")
    assert gdshare("trust", "withdrawn", arrived, *words, *signing)[0] == 0
    assert desk.receipts()["east-1.receipt"].verdict == "withdrawn"


# At the hospital.


def test_receipt_is_recorded_in_the_hospitals_ledger(after_round: Desk) -> None:
    status, out, err = after_round.receive()
    assert status == 0
    assert out.startswith("admitted  east-1\n")
    assert err == ""
    [entry] = after_round.recorded()
    [release, *_] = read_ledger(after_round.ledger)
    assert (entry.what, entry.digest) == ("east-1", release.digest)
    receipt = after_round.receipts()["east-1.receipt"]
    assert entry.why.startswith(
        f"tokyo: admitted, line {receipt.line} {receipt.sha256} of its ledger"
    )


def refused(
    desk: Desk,
    reason: str,
    name: str = "east-1.receipt",
    key: Path | None = None,
    status: int = 2,
) -> None:
    before = desk.recorded()
    ended, _, err = desk.receive(name, key)
    assert (ended, err.count("\n")) == (status, 1), err
    assert reason in err
    assert desk.recorded() == before


def test_receipt_is_recorded_once(after_round: Desk) -> None:
    after_round.receive()
    refused(after_round, "is in the ledger already")


def test_receipt_for_another_hospital_is_refused(after_round: Desk) -> None:
    refused(after_round, "a receipt for a bundle of north", "north-1.receipt")


def test_receipt_for_a_bundle_that_was_never_released_is_refused(desk: Desk) -> None:
    desk.has_released(sequence=2)
    desk.aggregate()
    refused(desk, "which this ledger never released")


def test_receipt_signed_with_another_key_is_refused(after_round: Desk) -> None:
    gdshare("keys", "new", "--name", "osaka", "--out", after_round.key.parent)
    other = after_round.key.with_name("osaka.pub")
    refused(after_round, "not a sound receipt (WrongKey)", key=other, status=3)


def test_forged_receipt_is_refused(after_round: Desk) -> None:
    path = after_round.out / "receipts" / "east-1.receipt"
    mine = json.loads(path.read_bytes())["dsseEnvelope"]["signatures"][0]["sig"].encode()
    other = (after_round.out / "receipts" / "west-1.receipt").read_bytes()
    theirs = json.loads(other)["dsseEnvelope"]["signatures"][0]["sig"].encode()
    path.write_bytes(path.read_bytes().replace(mine, theirs))
    refused(after_round, "not a sound receipt (BadSignature)", status=3)


def test_no_flipped_bit_of_a_receipt_survives(after_round: Desk) -> None:
    data = (after_round.out / "receipts" / "east-1.receipt").read_bytes()
    public = load_public_key(after_round.public)
    for place in range(len(data)):
        flipped = data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
        with pytest.raises(BundleError, match="not a sound receipt"):
            read_signed(flipped, public, Receipt)


def test_withdrawal_signed_with_the_same_key_does_not_pass_for_a_receipt(after_round: Desk) -> None:
    key = load_private_key(after_round.key, PASSPHRASE.encode())
    withdrawal = Withdrawal(site="east", sequence=1, at=hour_of(NOW)).signed("ab" * 32, key)
    (after_round.out / "receipts" / "east-1.receipt").write_bytes(withdrawal)
    refused(after_round, "not a sound receipt (MalformedSignature)", status=3)


def test_bundle_that_somebody_else_withdrew_is_an_alarm(desk: Desk) -> None:
    digest = desk.has_released()
    withdrawal = Withdrawal(site="east", sequence=1, at=hour_of(NOW))
    (desk.world.folder / "east" / "outbox" / "east-1.withdrawal").write_bytes(
        withdrawal.signed(digest, desk.world.keys["east"])
    )
    desk.aggregate()
    status, _, err = desk.receive()
    assert status == 0
    assert "WARNING: this hospital never withdrew east-1, so somebody else has its key" in err


# The aggregator's ledger is checked against its receipts.


def test_ledger_is_checked_against_its_receipts(after_round: Desk) -> None:
    assert after_round.checks_ledger_with("east-1.receipt", "north-1.receipt")[0] == 0
    words = ("ledger", "verify", after_round.world.ledger)
    receipt = after_round.out / "receipts" / "east-1.receipt"
    for half in (("--receipt", receipt), ("--key", after_round.public)):
        assert "need each other" in gdshare(*words, *half)[2]


def rewritten(desk: Desk, **changes: str) -> None:
    """Rewrite the aggregator's ledger and its head, with something changed in each line."""
    entries = read_ledger(desk.world.ledger)
    desk.world.ledger.unlink()
    desk.world.ledger.with_name(f"{desk.world.ledger.name}.head").unlink()
    with open_ledger(desk.world.ledger) as ledger:
        for entry in entries:
            fields = {
                "act": entry.act,
                "by": entry.by,
                "what": entry.what,
                "why": entry.why,
            } | changes
            ledger.write(entry.at, digest=entry.digest, **fields)


def test_ledger_rewritten_after_a_receipt_was_given_is_found_out_by_it(after_round: Desk) -> None:
    rewritten(after_round, by="somebody else")
    assert gdshare("ledger", "verify", after_round.world.ledger)[0] == 0
    status, _, err = after_round.checks_ledger_with("east-1.receipt")
    assert status == 3
    assert "line 1 is not the one that was there" in err


def test_ledger_cut_short_after_a_receipt_was_given_is_found_out_by_it(after_round: Desk) -> None:
    after_round.world.ledger.unlink()
    after_round.world.ledger.with_name(f"{after_round.world.ledger.name}.head").unlink()
    with open_ledger(after_round.world.ledger) as book:
        book.write(NOW, "trust", "an operator", "east", "ab" * 32, "")
    status, _, err = after_round.checks_ledger_with("west-1.receipt")
    assert status == 3
    assert "was cut short" in err


def test_receipt_that_differs_from_its_line_is_found_out(after_round: Desk) -> None:
    path = after_round.out / "receipts" / "east-1.receipt"
    honest, digest = read_signed(path.read_bytes(), load_public_key(after_round.public), Receipt)
    key = load_private_key(after_round.key, PASSPHRASE.encode())
    for lie in (
        honest.model_copy(update={"verdict": "refused", "reason": "Rollback"}),
        honest.model_copy(update={"sequence": 7}),
        honest.model_copy(
            update={"line": 2, "sha256": after_round.receipts()["north-1.receipt"].sha256}
        ),
    ):
        path.write_bytes(lie.signed(digest, key))
        status, _, err = after_round.checks_ledger_with("east-1.receipt")
        assert status == 3
        assert "does not say what tokyo gave a receipt for" in err
    path.write_bytes(honest.signed("ab" * 32, key))
    assert "does not say" in after_round.checks_ledger_with("east-1.receipt")[2]


def test_forged_receipt_accuses_nobody(after_round: Desk) -> None:
    path = after_round.out / "receipts" / "east-1.receipt"
    honest, digest = read_signed(path.read_bytes(), load_public_key(after_round.public), Receipt)
    path.write_bytes(honest.model_copy(update={"sha256": "0" * 64}).signed(digest, new_key()))
    status, _, err = after_round.checks_ledger_with("east-1.receipt")
    assert status == 3
    assert "not a sound receipt (WrongKey)" in err


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), OSError(), LedgerError("x")])
def test_receipts_are_given_however_the_command_ends(tmp_path: Path, ending: BaseException) -> None:
    ledger, signer = tmp_path / "ledger.jsonl", Signer("tokyo", new_key())

    def breaks_off() -> None:
        with open_ledger(ledger) as book:
            book.write(NOW, "admit", "an operator", "east-1", "ab" * 32, "signed with x")
        raise ending

    with (
        pytest.raises(type(ending)),
        receipts_for(ledger, tmp_path / "out", signer),
    ):
        breaks_off()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["east-1.receipt"]
