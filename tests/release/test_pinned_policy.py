"""A policy is in force once the ledger names it; the next one takes its approvers' signatures."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from desk_kit import Desk

from gdshare.ledger import open_ledger, read_ledger
from gdshare.release.pinned import policy_in_force
from gdshare.release.policy import parse_policy, policy_digest
from gdshare.signing import fingerprint, load_public_key

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LOOSER = "[bundle]\nimages = 300\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    return Desk(tmp_path)


def proposal(desk: Desk, more: str = LOOSER) -> Path:
    """The policy of the desk, and a rule more."""
    path = desk.folder / "next.toml"
    path.write_text(desk.policy.read_text(encoding="utf-8") + more, encoding="utf-8")
    return path


def sign(desk: Desk, path: Path, name: str, *more: object) -> Ended:
    digest = policy_digest(parse_policy(path.read_bytes(), path))
    words = ("--key", desk.key(name), "--outbox", desk.outbox, "--digest", digest[:16])
    return gdshare("policy", "sign", path, *words, *more)


def images_in_force(desk: Desk) -> int:
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    return policy_in_force(desk.outbox, entries).bundle.images


def refused_everywhere(desk: Desk, told: str) -> None:
    """Neither prepared nor approved, released or published."""
    run, outbox = desk.folder / "run", ("--outbox", desk.outbox)
    site, key = ("--site", "st-mary"), ("--key", desk.key("st-mary"))
    for words in (
        ("prepare", run, "--out", desk.folder / "other", *outbox, *site),
        ("approve", desk.prepared, "--key", desk.key("officer"), *outbox, "--digest", "0" * 16),
        ("release", desk.prepared, *key, *outbox),
        ("publish", run, *key, *outbox, *site),
    ):
        status, _, err = gdshare(*words)
        assert status, words
        assert told in err
        assert err.count("\n") == 1
    assert not desk.outbox.exists()


def test_policy_replaced_by_whoever_writes_the_outbox_lets_nothing_out(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    desk.policy.write_text("[release]\napprovals = 0\n", encoding="utf-8")
    refused_everywhere(desk, "this is not the policy in force")


def test_next_policy_comes_into_force_when_an_approver_of_the_last_signs_it(desk: Desk) -> None:
    status, out, _ = sign(desk, proposal(desk), "head")
    assert status == 0
    assert "in force   " in out
    assert images_in_force(desk) == 300
    assert desk.policy.read_bytes() == (desk.folder / "next.toml").read_bytes()
    *_, entry = read_ledger(desk.folder / "outbox-ledger.jsonl")
    head = fingerprint(load_public_key(desk.key("head", "pub")))
    assert (entry.act, entry.what) == ("policy", "st-mary")
    assert entry.why.endswith(f"signed by {head}")
    assert desk.prepare()[0] == 0


def test_policy_edited_in_its_place_can_be_signed_there(desk: Desk) -> None:
    desk.policy.write_bytes(desk.policy.read_bytes() + LOOSER.encode())
    assert sign(desk, desk.policy, "officer")[0] == 0
    assert images_in_force(desk) == 300


def test_key_that_the_policy_in_force_does_not_name_signs_no_next_one(desk: Desk) -> None:
    path = proposal(desk)
    named = fingerprint(load_public_key(desk.key("st-mary", "pub")))
    path.write_text(f'[release]\napprovals = 1\napprovers = ["{named}"]\n', encoding="utf-8")
    status, _, err = sign(desk, path, "st-mary")
    assert status
    assert "is not among the approvers of the policy in force" in err
    assert images_in_force(desk) == 30


def test_policy_that_asks_for_two_approvals_takes_two_signatures(desk: Desk) -> None:
    desk.rule(2, ("officer", "head"))
    path = proposal(desk)
    for _ in range(2):
        _, out, _ = sign(desk, path, "officer")
        assert "signatures 1 of 2" in out
        assert images_in_force(desk) == 30
    assert sign(desk, path, "head")[0] == 0
    assert images_in_force(desk) == 300


def test_line_that_somebody_wrote_into_the_ledger_brings_no_policy_into_force(desk: Desk) -> None:
    path = proposal(desk)
    digest = policy_digest(parse_policy(path.read_bytes(), path))
    shutil.copy(path, desk.folder / "outbox-policies" / f"{digest}.toml")
    shutil.copy(path, desk.policy)
    with open_ledger(desk.folder / "outbox-ledger.jsonl") as ledger:
        ledger.write(NOW, "policy", "officer", "st-mary", digest, "signed by the officer, honestly")
    refused_everywhere(desk, "signed by 0 of the 1 approvers of the policy before it who must")


def test_two_forged_lines_do_not_vouch_for_each_other(desk: Desk) -> None:
    """The thief's own policy names the thief, who then signs a next one by the book."""
    named = fingerprint(load_public_key(desk.key("st-mary", "pub")))
    text = f'[release]\napprovals = 1\napprovers = ["{named}"]\n'
    digest = policy_digest(parse_policy(text.encode(), desk.policy))
    (desk.folder / "outbox-policies" / f"{digest}.toml").write_text(text, encoding="utf-8")
    with open_ledger(desk.folder / "outbox-ledger.jsonl") as ledger:
        ledger.write(NOW, "policy", "officer", "st-mary", digest, "")
    assert sign(desk, proposal(desk), "st-mary")[0]
    refused_everywhere(desk, "signed by 0 of the 1 approvers")


def test_old_signature_brings_no_old_policy_back(desk: Desk) -> None:
    strict = desk.folder / "strict.toml"
    shutil.copy(desk.policy, strict)
    loose = proposal(desk)
    sign(desk, loose, "officer")
    sign(desk, strict, "officer")
    assert images_in_force(desk) == 30
    digest = policy_digest(parse_policy(loose.read_bytes(), loose))
    with open_ledger(desk.folder / "outbox-ledger.jsonl") as ledger:
        ledger.write(NOW, "policy", "officer", "st-mary", digest, "")
    shutil.copy(loose, desk.policy)
    refused_everywhere(desk, "signed by 0 of the 1 approvers")


@pytest.mark.parametrize("damage", [b"", b"{", b"x" * 20_000, "pipe"])
def test_damaged_signature_is_refused_and_not_passed_over(desk: Desk, damage: bytes | str) -> None:
    desk.rule(2, ("officer", "head"))
    sign(desk, proposal(desk), "officer")
    (signature,) = (desk.folder / "outbox-policies").glob("*.sig")
    signature.unlink()
    if isinstance(damage, str):
        os.mkfifo(signature)
    else:
        signature.write_bytes(damage)
    status, _, err = sign(desk, desk.folder / "next.toml", "head")
    assert status
    assert "not a sound signature" in err
    assert images_in_force(desk) == 30


@pytest.mark.parametrize("digest", ["", "ab", "0" * 16])
def test_digest_that_was_not_looked_up_signs_nothing(desk: Desk, digest: str) -> None:
    words = ("--key", desk.key("head"), "--outbox", desk.outbox, "--digest", digest)
    status, _, err = gdshare("policy", "sign", proposal(desk), *words)
    assert status
    assert "see gdshare policy show" in err
    assert images_in_force(desk) == 30


def test_signing_can_be_tried_without_being_done(desk: Desk) -> None:
    status, out, _ = sign(desk, proposal(desk), "head", "--dry-run")
    assert status == 0
    assert "would be in force" in out
    assert images_in_force(desk) == 30
    assert not list((desk.folder / "outbox-policies").glob("*.sig"))


def test_proposal_is_shown_with_what_it_changes_and_who_signed_it(desk: Desk) -> None:
    desk.rule(2, ("officer", "head"))
    path = proposal(desk)
    sign(desk, path, "officer")
    officer = fingerprint(load_public_key(desk.key("officer", "pub")))
    out = gdshare("policy", "show", path, "--outbox", desk.outbox, check=True).out
    assert "changes    bundle.images: 30 -> 300\n" in out
    assert f"signatures 1 of 2\n           {officer}\n" in out
    shown = json.loads(gdshare("policy", "show", path, "--outbox", desk.outbox, "--json").out)
    assert (shown["in_force"], shown["signed"]) == (False, [officer])
    assert shown["policy"]["bundle"]["images"] == 300


def test_text_that_was_changed_afterwards_is_not_the_policy_that_was_signed(desk: Desk) -> None:
    (kept,) = (desk.folder / "outbox-policies").glob("*.toml")
    kept.write_bytes(kept.read_bytes() + LOOSER.encode())
    desk.prepare()
    refused_everywhere(desk, "is not the policy that the ledger names")


def test_outbox_whose_policy_its_ledger_never_named_releases_nothing_until_it_does(
    desk: Desk,
) -> None:
    for path in desk.folder.glob("outbox-ledger.jsonl*"):
        path.unlink()
    status, _, err = desk.prepare()
    assert status
    assert "is not in force" in err
    assert "gdshare policy new" in err
    gdshare("policy", "new", "--outbox", desk.outbox, "--site", "st-mary", check=True)
    assert desk.prepare()[0] == 0


def test_outbox_that_released_by_a_policy_before_policies_were_named_fails_closed(
    desk: Desk,
) -> None:
    ledger = desk.folder / "outbox-ledger.jsonl"
    for path in desk.folder.glob("outbox-ledger.jsonl*"):
        path.unlink()
    with open_ledger(ledger) as book:
        why = f"by policy {'ab' * 32}"
        book.write(NOW, "prepare", "an engineer", "st-mary-1", "cd" * 32, why)
    desk.policy.unlink()
    assert "the policy is gone, and the ledger shows that there was one" in desk.prepare()[2]


def test_outbox_with_bundles_whose_ledger_is_gone_releases_nothing(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    desk.release()
    for path in (desk.policy, *desk.folder.glob("outbox-ledger.jsonl*")):
        path.unlink()
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    status, _, err = gdshare("publish", desk.folder / "run", *words)
    assert status
    assert "the ledger that records them is gone; put it back" in err


def test_file_that_appears_beside_an_outbox_of_the_default_policy_is_not_in_force(
    desk: Desk,
) -> None:
    for path in (desk.policy, *desk.folder.glob("outbox-ledger.jsonl*")):
        path.unlink()
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    assert gdshare("publish", desk.folder / "run", *words)[0] == 0
    desk.policy.write_text(LOOSER, encoding="utf-8")
    assert "is not in force" in gdshare("publish", desk.folder / "run", *words)[2]
    gdshare("policy", "new", "--outbox", desk.outbox, "--site", "st-mary", check=True)
    assert images_in_force(desk) == 300
    assert gdshare("publish", desk.folder / "run", *words)[0] == 0


def test_first_policy_names_the_approvers_and_asks_for_one_of_them(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    for name in ("officer", "head"):
        gdshare("keys", "new", "--name", name, "--out", tmp_path / "keys")
    words = [tmp_path / "keys" / "officer.pub"]
    head = fingerprint(load_public_key(tmp_path / "keys" / "head.pub"))
    approvers = ("--approver", words[0], "--approver", head.upper())
    outbox = ("--outbox", tmp_path / "outbox", "--site", "st-mary")
    gdshare("policy", "new", *outbox, *approvers, "--dry-run", check=True)
    assert not (tmp_path / "outbox-policy.toml").exists()
    shown = json.loads(gdshare("policy", "new", *outbox, *approvers, "--json", check=True).out)
    rules = shown["policy"]["release"]
    officer = fingerprint(load_public_key(words[0]))
    assert rules == {"approvals": 1, "approvers": [officer, head], "one-shot": False}
    written = parse_policy((tmp_path / "outbox-policy.toml").read_bytes(), tmp_path)
    assert policy_digest(written) == shown["digest"]


def test_policy_with_approvers_is_not_made_anew(desk: Desk) -> None:
    words = ("--outbox", desk.outbox, "--site", "st-mary")
    desk.policy.write_text("", encoding="utf-8")
    status, _, err = gdshare("policy", "new", *words)
    assert status
    assert "its approvers must sign the next" in err


def test_policy_without_approvers_is_made_anew_and_the_ledger_shows_it(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=())
    desk.policy.write_text(LOOSER, encoding="utf-8")
    gdshare("policy", "new", "--outbox", desk.outbox, "--site", "st-mary", check=True)
    assert images_in_force(desk) == 300
    acts = [entry.act for entry in read_ledger(desk.folder / "outbox-ledger.jsonl")]
    assert acts == ["policy", "policy"]
