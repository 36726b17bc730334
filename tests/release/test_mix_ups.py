"""An outbox belongs to one hospital: another's key or bundle is refused there."""

from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from desk_kit import Desk

from gdshare.ledger import open_ledger, read_ledger


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    gdshare("keys", "new", "--name", "st-john", "--out", tmp_path / "keys")
    return desk


def without_policy(desk: Desk) -> None:
    for path in (desk.policy, *desk.folder.glob("outbox-ledger.jsonl*")):
        path.unlink()


def publish(desk: Desk, site: str, *more: object, key: str | None = None) -> Ended:
    words = ("--key", desk.key(key or site), "--outbox", desk.outbox, "--site", site)
    return gdshare("publish", desk.folder / "run", *words, *more)


def test_bundle_of_another_hospital_is_not_prepared_in_this_outbox(desk: Desk) -> None:
    words = ("--out", desk.prepared, "--outbox", desk.outbox, "--site", "st-john")
    status, _, err = gdshare("prepare", desk.folder / "run", *words)
    assert status
    assert "this is st-mary's outbox, by the first line of its ledger, and not st-john's" in err
    assert not desk.prepared.exists()


def test_first_bundle_says_whose_outbox_it_is_where_no_policy_does(desk: Desk) -> None:
    without_policy(desk)
    assert publish(desk, "st-john")[0] == 0
    assert "this is st-john's outbox" in publish(desk, "st-mary")[2]
    assert [path.name for path in desk.outbox.iterdir()] == ["st-john-1"]


def test_policy_of_another_hospital_does_not_come_into_force_here(desk: Desk) -> None:
    without_policy(desk)
    publish(desk, "st-john")
    status, _, err = gdshare("policy", "new", "--outbox", desk.outbox, "--site", "st-mary")
    assert status
    assert "this is st-john's outbox" in err


def test_prepared_folder_of_another_hospital_is_neither_approved_nor_released_here(
    desk: Desk,
) -> None:
    theirs = desk.folder / "theirs"
    words = ("--outbox", theirs, "--site", "st-john")
    gdshare("policy", "new", desk.policy, *words, check=True)
    gdshare("prepare", desk.folder / "run", "--out", desk.prepared, *words, check=True)
    assert "this is st-mary's outbox" in desk.approve()[2]
    desk.refused("this is st-mary's outbox", status=2)


def test_first_release_is_refused_with_a_key_of_another_name(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    desk.refused("not named as st-mary's key", signer="st-john", status=2)
    desk.refused("not named as st-mary's key", "--dry-run", signer="st-john", status=2)
    assert desk.release("--another-key", signer="st-john")[0] == 0


def test_later_release_is_refused_with_a_key_that_released_nothing(desk: Desk) -> None:
    without_policy(desk)
    publish(desk, "st-mary")
    gdshare("keys", "new", "--name", "st-mary-2028", "--out", desk.folder / "keys")
    status, _, err = publish(desk, "st-mary", key="st-mary-2028")
    assert status
    assert "st-mary's last bundle was released with the key" in err
    assert publish(desk, "st-mary", "--another-key", key="st-mary-2028")[0] == 0
    assert publish(desk, "st-mary", key="st-mary-2028")[0] == 0, "it is known from now on"
    assert publish(desk, "st-mary")[0] == 0, "and so is the first one still"


def test_key_of_a_release_that_an_earlier_gdshare_recorded_is_read_from_its_bundle(
    desk: Desk,
) -> None:
    without_policy(desk)
    publish(desk, "st-mary")
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    for path in desk.folder.glob("outbox-ledger.jsonl*"):
        path.unlink()
    with open_ledger(desk.folder / "outbox-ledger.jsonl") as ledger:
        for entry in entries:  # as it was: without the key
            why = entry.why.partition(", signed with")[0]
            ledger.write(entry.at, entry.act, entry.by, entry.what, entry.digest, why)
    status, _, err = publish(desk, "st-mary", key="st-john")
    assert status
    assert "last bundle was released with the key" in err


def test_withdrawal_is_refused_with_another_hospitals_key_though_the_bundle_is_gone(
    desk: Desk,
) -> None:
    without_policy(desk)
    publish(desk, "st-mary")
    (desk.outbox / "st-mary-1" / "bundle.sig").unlink()
    digest = read_ledger(desk.folder / "outbox-ledger.jsonl")[-1].digest
    words = ("--key", desk.key("st-john"), "--outbox", desk.outbox)
    status, _, err = gdshare("withdraw", str(digest), *words)
    assert status
    assert "was released with the key" in err
