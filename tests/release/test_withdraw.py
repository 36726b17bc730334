"""Taking a bundle back, by its command: easy, complete after any kill, and for good."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import Ended, gdshare
from grid_kit import ask_node

from gdshare.bundle import read_folder, verify_folder
from gdshare.bundle.attestation import MAX_BYTES, Withdrawal, read_signed
from gdshare.bundle.outbox import newest, published
from gdshare.errors import BundleError
from gdshare.ledger import Entry, read_ledger
from gdshare.signing import load_public_key, new_key


class Site:
    """A hospital with a key, an outbox and a node that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outbox = folder, folder / "outbox"
        self.key = folder / "keys" / "st-mary.key"
        make_run(folder / "run")
        gdshare("keys", "new", "--name", "st-mary", "--out", folder / "keys")

    def publish(self, count: int = 1) -> None:
        for _ in range(count):
            words = ("--key", self.key, "--outbox", self.outbox, "--site", "st-mary")
            assert gdshare("publish", self.folder / "run", *words)[0] == 0

    def digest(self, name: str = "st-mary-1") -> str:
        found = {entry.what: entry.digest for entry in self.entries() if entry.act == "release"}
        return str(found[name])

    def withdraw(self, name: str = "st-mary-1", *more: object) -> Ended:
        words = ("--key", self.key, "--outbox", self.outbox, "--digest", self.digest(name)[:16])
        return gdshare("withdraw", name, *words, *more)

    def entries(self) -> list[Entry]:
        return read_ledger(self.folder / "outbox-ledger.jsonl")

    def told(self, name: str = "st-mary-1") -> tuple[Withdrawal, str]:
        data = (self.outbox / f"{name}.withdrawal").read_bytes()
        return read_signed(data, load_public_key(self.key.with_suffix(".pub")), Withdrawal)

    def handed_over(self) -> dict[str, object]:
        settings = {"outbox": str(self.outbox), "state": str(self.folder / "state")}
        return ask_node(settings, "query.collect", {})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    return Site(tmp_path)


def test_withdrawn_bundle_is_gone_and_a_signed_withdrawal_takes_its_place(site: Site) -> None:
    site.publish()
    began = datetime.now(UTC)
    status, out, _ = site.withdraw("st-mary-1", "--why", "a consent was taken back", "--by", "A.")
    assert status == 0
    assert "nothing to hand over until a newer bundle is released" in out
    assert [path.name for path in site.outbox.iterdir()] == ["st-mary-1.withdrawal"]
    told, digest = site.told()
    assert (told.name, digest) == ("st-mary-1", site.digest())
    assert told.reason == "a consent was taken back"
    assert told.at.minute == told.at.second == 0
    assert 0 <= (began - told.at).total_seconds() < 3600
    entry = site.entries()[-1]
    assert (entry.act, entry.what, entry.digest) == ("withdraw", "st-mary-1", digest)
    assert (entry.by, entry.why) == ("A.", "a consent was taken back")


def test_node_hands_the_withdrawal_over_in_place_of_the_bundle(site: Site) -> None:
    site.publish()
    site.withdraw()
    [(name, content)] = site.handed_over().items()
    assert name == "st-mary-1.withdrawal"
    assert content == (site.outbox / name).read_bytes()


def test_older_bundle_does_not_come_back_in_place_of_a_withdrawn_one(site: Site) -> None:
    site.publish(2)
    site.withdraw("st-mary-2")
    assert [path.name for path in published(site.outbox)] == ["st-mary-1"]
    assert set(site.handed_over()) == {"st-mary-2.withdrawal"}


def test_newer_bundle_is_handed_over_beside_the_withdrawal(site: Site) -> None:
    site.publish(2)
    assert "st-mary-2 to hand over" in site.withdraw("st-mary-1")[1]
    handed = site.handed_over()
    assert json.loads(handed["gdshare.json"])["sequence"] == 2  # type: ignore[arg-type]
    assert set(handed) - set(read_folder(site.outbox / "st-mary-2")) == {"st-mary-1.withdrawal"}


def test_number_of_a_withdrawn_bundle_stays_used(site: Site) -> None:
    site.publish()
    site.withdraw()
    site.publish()
    assert [path.name for path in published(site.outbox)] == ["st-mary-2"]
    assert set(site.handed_over()) > {"st-mary-1.withdrawal", "gdshare.json"}


def test_withdrawn_bundle_is_not_released_again(site: Site) -> None:
    words = ("--outbox", site.outbox, "--site", "st-mary", "--out", site.folder / "prepared")
    gdshare("prepare", site.folder / "run", *words)
    release = ("release", site.folder / "prepared", "--key", site.key, "--outbox", site.outbox)
    assert gdshare(*release)[0] == 0
    site.withdraw()
    status, _, err = gdshare(*release)
    assert status == 3
    assert "st-mary-1: was withdrawn, and stays so" in err
    assert published(site.outbox) == ()


@pytest.mark.parametrize(
    ("module", "step", "still_handed_over"),
    [
        ("gdshare.ledger", "write_bytes", True),
        ("gdshare.release.withdraw", "write_bytes", True),
        ("gdshare.release.withdraw", "_delete_bundle", False),
        ("gdshare.release.withdraw", "sync_folder", False),
        ("gdshare.release.withdraw.shutil", "rmtree", False),
    ],
)
def test_kill_between_two_steps_leaves_nothing_half_and_the_next_attempt_completes_it(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    step: str,
    still_handed_over: bool,
) -> None:
    site.publish(2)
    whole = read_folder(site.outbox / "st-mary-2")
    reason = ("--why", "a consent was taken back")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"{module}.{step}", killed)
        assert site.withdraw("st-mary-2", *reason)[0] == 130

    handed = site.handed_over()
    if still_handed_over:
        assert handed == whole, "whole, since nothing was signed yet"
    else:
        assert set(handed) == {"st-mary-2.withdrawal"}
    assert [entry.act for entry in site.entries()][2:] == ["withdraw"], (
        "its line is there before all"
    )
    at = site.entries()[-1].at
    assert site.withdraw("st-mary-2")[0] == 0
    assert sorted(path.name for path in site.outbox.iterdir()) == [
        "st-mary-1",
        "st-mary-2.withdrawal",
    ]
    assert [entry.act for entry in site.entries()][2:] == ["withdraw"], "and it stays one"
    told, _ = site.told("st-mary-2")
    assert told.reason == reason[1]
    assert told.at == at.replace(minute=0, second=0)


def test_deletion_that_was_broken_off_in_its_midst_is_completed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()
    delete = shutil.rmtree

    def killed(path: Path) -> None:
        (path / "bundle.sig").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        site.withdraw()
    assert published(site.outbox) == ()
    assert [path.name for path in site.outbox.glob(".*")] == [".st-mary-1.withdrawn"]
    assert delete is shutil.rmtree
    site.withdraw()
    assert [path.name for path in site.outbox.iterdir()] == ["st-mary-1.withdrawal"]


def test_withdrawal_that_was_lost_is_written_again_to_the_same_byte(site: Site) -> None:
    site.publish()
    site.withdraw("st-mary-1", "--why", "one")
    path = site.outbox / "st-mary-1.withdrawal"
    before = path.read_bytes()
    path.unlink()
    status, out, _ = site.withdraw("st-mary-1", "--why", "another")
    assert status == 0
    assert f"first on     {site.entries()[-1].at:%Y-%m-%d}\n" in out
    assert path.read_bytes() == before


def test_bundle_that_somebody_has_removed_by_hand_can_be_withdrawn(site: Site) -> None:
    site.publish()
    shutil.rmtree(site.outbox)
    assert site.withdraw()[0] == 0
    assert set(site.handed_over()) == {"st-mary-1.withdrawal"}


def test_dry_run_says_what_would_happen_and_changes_nothing(site: Site) -> None:
    site.publish(2)
    before = sorted(site.folder.rglob("*"))
    status, out, _ = site.withdraw("st-mary-2", "--dry-run")
    assert status == 0
    assert f"would withdraw  st-mary-2\ndigest          {site.digest('st-mary-2')}\n" in out
    assert "nothing to hand over" in out
    assert "st-mary-2 to hand over" in site.withdraw("st-mary-1", "--dry-run")[1]
    assert sorted(site.folder.rglob("*")) == before
    assert [entry.act for entry in site.entries()] == ["release", "release"]


def test_it_takes_one_person_whatever_the_policy_says(site: Site) -> None:
    site.publish()
    policy = site.folder / "outbox-policy.toml"
    for content in ("[release]\none-shot = false\n", "no policy at all"):
        policy.write_text(content, encoding="utf-8")
        assert site.withdraw()[0] == 0


def test_bundle_is_named_by_its_digest_too(site: Site) -> None:
    site.publish(2)
    words = ("--key", site.key, "--outbox", site.outbox)
    assert gdshare("withdraw", site.digest("st-mary-1")[:20].upper(), *words)[0] == 0
    assert [path.name for path in published(site.outbox)] == ["st-mary-2"]


@pytest.mark.parametrize("name", ["st-mary-2", "st-mary", "0" * 16, "", "../st-mary-1"])
def test_what_was_never_released_cannot_be_withdrawn(site: Site, name: str) -> None:
    site.publish()
    words = ("--key", site.key, "--outbox", site.outbox, "--digest", site.digest())
    status, _, err = gdshare("withdraw", name, *words)
    assert status == 2
    assert "matches 0 released bundles" in err
    assert "st-mary-1" in err
    assert newest(site.outbox, "st-mary") is not None


@pytest.mark.parametrize("digest", ["", "ab", "0" * 16])
def test_digest_of_another_bundle_withdraws_nothing(site: Site, digest: str) -> None:
    site.publish()
    words = ("--key", site.key, "--outbox", site.outbox, "--digest", digest)
    status, _, err = gdshare("withdraw", "st-mary-1", *words)
    assert status == 2
    assert "see st-mary-1 in gdshare ledger show" in err
    assert site.digest()[:16] not in err
    assert [entry.act for entry in site.entries()] == ["release"]


def test_digest_is_asked_for_at_a_terminal_and_demanded_elsewhere(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()
    words = ("withdraw", "st-mary-1", "--key", site.key, "--outbox", site.outbox)
    assert "give --digest" in gdshare(*words)[2]
    monkeypatch.setattr("gdshare.cli.withdraw.has_terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: site.digest()[:16])
    assert gdshare(*words)[0] == 0


@pytest.mark.parametrize("reason", ["für immer", "x" * 301, "two\nlines", "\x1b[2J"])
def test_reason_that_no_withdrawal_takes_changes_nothing(site: Site, reason: str) -> None:
    site.publish()
    status, _, err = site.withdraw("st-mary-1", "--why", reason)
    assert status == 2
    assert "printable ASCII" in err
    assert [entry.act for entry in site.entries()] == ["release"]
    assert newest(site.outbox, "st-mary") is not None


def test_wrong_passphrase_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish()
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "wrong")
    assert site.withdraw()[0] == 2
    assert [entry.act for entry in site.entries()] == ["release"]


def test_outbox_that_cannot_be_changed_is_told_and_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gdshare.release.withdraw.write_bytes", full)
        status, _, err = site.withdraw()
    assert status == 2
    assert "st-mary-1 may still be sent" in err
    assert site.withdraw()[0] == 0
    assert set(site.handed_over()) == {"st-mary-1.withdrawal"}


# At the node.


def test_node_does_not_follow_a_withdrawal_that_is_a_link(site: Site) -> None:
    site.publish()
    (site.folder / "passwords").write_text("secret", encoding="utf-8")
    (site.outbox / "st-mary-1.withdrawal").symlink_to(site.folder / "passwords")
    assert site.handed_over() == {"refused": "outbox-unreadable"}


def test_node_hands_over_no_withdrawal_beyond_its_bounds(site: Site) -> None:
    site.publish()
    (site.outbox / "st-mary-1.withdrawal").write_bytes(b"x" * (MAX_BYTES + 1))
    assert site.handed_over() == {"refused": "outbox-unreadable"}


def test_node_hands_over_the_newest_hundred_withdrawals_and_says_so_at_home(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.outbox.mkdir()
    for number in range(1, 104):
        (site.outbox / f"st-mary-{number}.withdrawal").write_bytes(b"one")
    handed = site.handed_over()
    assert len(handed) == 100
    assert "st-mary-103.withdrawal" in handed
    assert "st-mary-3.withdrawal" not in handed
    assert "send the older ones by hand" in caplog.text


def test_bundle_that_is_withdrawn_while_it_is_read_is_not_handed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish()
    before = read_folder

    def late(folder: Path) -> dict[str, bytes]:
        files = before(folder)
        site.withdraw()
        return files

    monkeypatch.setattr("hospital_node.outbox.read_folder", late)
    assert set(site.handed_over()) == {"st-mary-1.withdrawal"}


def test_node_does_not_choose_between_two_sites_withdrawals(site: Site) -> None:
    site.publish()
    (site.outbox / "north-1.withdrawal").write_bytes(b"one")
    assert site.handed_over() == {"refused": "outbox-unreadable"}


# The file.


def test_signature_on_a_bundle_does_not_pass_for_a_withdrawal(site: Site) -> None:
    site.publish()
    data = (site.outbox / "st-mary-1" / "bundle.sig").read_bytes()
    with pytest.raises(BundleError, match="not a sound withdrawal"):
        read_signed(data, load_public_key(site.key.with_suffix(".pub")), Withdrawal)


def test_withdrawal_does_not_pass_for_a_signature_on_a_bundle(site: Site) -> None:
    site.publish(2)
    site.withdraw("st-mary-1")
    shutil.copy(site.outbox / "st-mary-1.withdrawal", site.outbox / "st-mary-2" / "bundle.sig")
    public = load_public_key(site.key.with_suffix(".pub"))
    with pytest.raises(BundleError):
        verify_folder(site.outbox / "st-mary-2", public, datetime.now(UTC))


def test_no_flipped_bit_of_a_withdrawal_survives(site: Site) -> None:
    site.publish()
    site.withdraw("st-mary-1", "--why", "x")
    data = (site.outbox / "st-mary-1.withdrawal").read_bytes()
    public = load_public_key(site.key.with_suffix(".pub"))
    for place in range(len(data)):
        flipped = data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
        with pytest.raises(BundleError, match="not a sound withdrawal"):
            read_signed(flipped, public, Withdrawal)


def withdrawal(**changes: object) -> Withdrawal:
    told = {"site": "st-mary", "sequence": 1, "at": datetime(2026, 11, 22, 9, tzinfo=UTC)}
    return Withdrawal.model_construct(**(told | {"reason": ""} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC)},
        {"reason": "x" * 301},
        {"reason": "\n"},
        {"sequence": 0},
        {"site": "St Mary"},
        {"PREDICATE_TYPE": "https://gdshare/approval/v1"},
    ],
)
def test_signed_content_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    key = new_key()
    told = withdrawal(**{name: value for name, value in changes.items() if name.islower()})
    if "PREDICATE_TYPE" in changes:

        class Other(Withdrawal):
            PREDICATE_TYPE = "https://gdshare/approval/v1"

        told = Other.model_construct(**dict(told))
    sound = withdrawal().signed("ab" * 32, key)
    assert read_signed(sound, key.public_key(), Withdrawal)[1] == "ab" * 32
    with pytest.raises(BundleError, match="not a sound withdrawal"):
        read_signed(told.signed("ab" * 32, key), key.public_key(), Withdrawal)


@pytest.mark.parametrize("digest", ["AB" * 32, "ab" * 31, ""])
def test_digest_that_is_none_is_refused(digest: str) -> None:
    key = new_key()
    with pytest.raises(BundleError, match="not a sound withdrawal"):
        read_signed(withdrawal().signed(digest, key), key.public_key(), Withdrawal)


def test_approvers_key_withdraws_nothing_unless_it_is_said_to_be_the_hospitals(site: Site) -> None:
    site.publish()
    gdshare("keys", "new", "--name", "officer", "--out", site.folder / "keys")
    other = site.folder / "keys" / "officer.key"
    words = ("--key", other, "--outbox", site.outbox, "--digest", site.digest())
    for more in ((), ("--dry-run",)):
        status, _, err = gdshare("withdraw", "st-mary-1", *words, *more)
        assert (status, "was released with the key" in err) == (2, True)
    assert [entry.act for entry in site.entries()] == ["release"]
    assert (site.outbox / "st-mary-1").is_dir()
    assert gdshare("withdraw", "st-mary-1", *words, "--another-key")[0] == 0


@pytest.mark.parametrize("name", ["bundle.sig", "README.md"])
def test_bundle_that_was_damaged_is_withdrawn_all_the_same(site: Site, name: str) -> None:
    site.publish()
    (site.outbox / "st-mary-1" / name).write_bytes(b"")
    (site.outbox / "st-mary-1" / "more").write_bytes(b"")
    assert site.withdraw("st-mary-1")[0] == 0
    assert [path.name for path in site.outbox.iterdir()] == ["st-mary-1.withdrawal"]
