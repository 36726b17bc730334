"""Images that were distilled for a shared model leave only while somebody consents to it."""

import json
import shutil

import pytest
from announcement_kit import of_model, of_number, sent
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk

from gdshare.announcement import read_announcement
from gdshare.ledger import read_ledger
from gdshare.release.consent import announcements_folder
from gdshare.signing import new_key, public_pem

AGGREGATOR = new_key()
START = of_model(AGGREGATOR, side=16)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Its run was distilled for the shared model."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_bytes())
    record["theta0_sha256"] = START.theta0_sha256
    number = START.announcement.number
    record["settings"] |= {"theta0": "announced", "theta0_number": number}
    path.write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "tokyo.pub").write_bytes(public_pem(AGGREGATOR.public_key()))
    sent(tmp_path / "announced", START)
    return desk


def consent(desk, *more, folder="announced", key="tokyo.pub"):
    words = (desk.folder / folder, "--key", desk.folder / key, "--outbox", desk.outbox)
    return gdshare("consent", *words, "--by", "Dr. Sato", *more)


def test_without_consent_nothing_is_prepared_or_published(desk):
    ended = desk.prepare()
    assert ended.status == 3
    assert "distilled for a shared model's weights" in ended.err
    assert "run gdshare consent" in ended.err
    assert not desk.prepared.exists()
    assert desk.entries() == []
    desk.rule(0, ())
    sign = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    ended = gdshare("publish", desk.folder / "run", *sign)
    assert ended.status == 3
    assert "distilled for a shared model's weights" in ended.err
    assert not desk.outbox.exists()


def test_with_consent_it_leaves_and_the_page_says_what_it_was_distilled_for(desk):
    ended = consent(desk)
    assert ended.status == 0, ended.err
    assert "the weights of a shared model" in ended.out
    kept = announcements_folder(desk.outbox) / START.theta0_sha256
    assert f"gdshare distill --announcement {kept}" in ended.out
    assert (kept / "theta0.safetensors").read_bytes() == START.weights
    assert desk.prepare().status == 0
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    assert f"an aggregator&#x27;s shared model, {START.theta0_sha256}" in page
    assert "the weights of a model that an aggregator shared" in page
    assert desk.approve().status == 0
    assert desk.release().status == 0
    assert desk.entries() == ["consent", "prepare", "approve", "release"]
    line = next(e for e in read_ledger(desk.folder / "outbox-ledger.jsonl") if e.act == "consent")
    assert (line.by, line.what, line.digest) == ("Dr. Sato", "tokyo", START.theta0_sha256)


def test_consent_that_was_taken_back_stops_what_was_approved(desk):
    consent(desk)
    desk.prepare()
    desk.approve()
    ended = consent(desk, "--end", "the board has changed its mind")
    assert ended.status == 0, ended.err
    desk.refused("nobody's consent to it")
    assert desk.approve().status == 3
    assert not (announcements_folder(desk.outbox) / START.theta0_sha256).exists()
    assert consent(desk, "--end", "again").status == 2
    consent(desk)
    assert desk.release().status == 0


def test_consent_is_recorded_once(desk):
    consent(desk)
    consent(desk)
    assert desk.entries() == ["consent"]


def test_dry_run_consents_to_nothing(desk):
    assert consent(desk, "--dry-run").status == 0
    assert desk.entries() == []
    assert not announcements_folder(desk.outbox).exists()


def test_copy_that_a_kill_lost_is_made_again(desk):
    consent(desk)
    shutil.rmtree(announcements_folder(desk.outbox))
    consent(desk)
    assert (announcements_folder(desk.outbox) / START.theta0_sha256).is_dir()
    assert desk.entries() == ["consent"]


@pytest.mark.parametrize("part", ["announcement.json", "theta0.safetensors"])
def test_copy_of_which_a_kill_left_a_part_is_made_whole(desk, part):
    consent(desk)
    kept = announcements_folder(desk.outbox) / START.theta0_sha256
    (kept / part).unlink()
    assert consent(desk).status == 0
    assert read_announcement(kept) == START
    assert desk.entries() == ["consent"]


def test_copy_that_is_a_link_is_gone_when_the_consent_ends(desk):
    """The node would follow it."""
    consent(desk)
    kept = announcements_folder(desk.outbox) / START.theta0_sha256
    kept.rename(desk.folder / "elsewhere")
    kept.symlink_to(desk.folder / "elsewhere")
    assert consent(desk, "--end", "no longer").status == 0
    assert not kept.exists()
    assert desk.entries() == ["consent", "consent-ended"]


def test_consent_is_not_ended_while_its_weights_cannot_be_removed(desk):
    consent(desk)
    kept = announcements_folder(desk.outbox) / START.theta0_sha256
    shutil.rmtree(kept)
    kept.write_bytes(b"no folder, which no folder's removal removes")
    assert consent(desk, "--end", "no longer").status == 2
    assert desk.entries() == ["consent"]


def test_announcement_of_a_stranger_is_refused(desk):
    (desk.folder / "other.pub").write_bytes(public_pem(new_key().public_key()))
    ended = consent(desk, key="other.pub")
    assert ended.status == 3
    assert "not a sound announcement" in ended.err
    assert desk.entries() == []


def test_folder_that_is_not_there_is_a_mistyped_one(desk):
    ended = consent(desk, folder="anounced")
    assert (ended.status, "no such folder" in ended.err) == (2, True)
    assert desk.entries() == []


def test_consent_to_one_model_is_none_to_another(desk):
    sent(desk.folder / "other", of_model(AGGREGATOR, seed=6, side=16))
    consent(desk, folder="other")
    assert desk.prepare().status == 3


def test_consent_before_anything_else_leaves_the_outbox_without_an_owner(desk):
    for path in desk.folder.glob("outbox-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    consent(desk)
    assert desk.prepare().status == 0
    ended = gdshare(
        *("prepare", desk.folder / "run", "--out", desk.folder / "p2", "--outbox", desk.outbox),
        *("--site", "st-john"),
    )
    assert "this is st-mary's outbox" in ended.err


def test_number_needs_no_consent_and_can_be_consented_to(desk):
    sent(desk.folder / "number", of_number(AGGREGATOR, side=16))
    ended = consent(desk, "--json", folder="number")
    assert json.loads(ended.out)["theta0"] == "drawn from the number 7"
