"""The release gate by its commands: what leaves was seen and approved, byte for byte."""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from html import unescape
from pathlib import Path

import pytest
from audit_kit import SILENT, record_of, write_attacks
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from desk_kit import Desk

from gdshare.audit import write_audit
from gdshare.bundle import Manifest, verify_folder
from gdshare.bundle.attacks import Attack
from gdshare.bundle.layout import SIGNED
from gdshare.distill.run_folder import read_result
from gdshare.ledger import read_ledger
from gdshare.release import approval, prepare, prepared_from, read_policy, read_prepared
from gdshare.release.policy import parse_policy, policy_digest
from gdshare.release.rules import findings
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages
from gdshare.signing import fingerprint, load_private_key, load_public_key
from gdshare.signing.envelope import Envelope, sign


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    return Desk(tmp_path)


def test_what_was_prepared_and_approved_leaves_and_nothing_else(desk: Desk) -> None:
    assert desk.prepare()[0] == 0
    assert desk.approve()[0] == 0
    assert desk.release()[0] == 0
    bundle = desk.outbox / "st-mary-1"
    for path in (desk.prepared / "content").iterdir():
        assert (bundle / path.name).read_bytes() == path.read_bytes()
    found = verify_folder(bundle, load_public_key(desk.key("st-mary", "pub")), datetime.now(UTC))
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")[1:]
    assert [(entry.act, entry.digest) for entry in entries] == [
        (entry, found.digest) for entry in ("prepare", "approve", "release")
    ]
    assert entries[1].by == "officer"
    officer, signer = (
        fingerprint(load_public_key(desk.key(name, "pub"))) for name in ("officer", "st-mary")
    )
    assert entries[0].why == entries[1].why
    assert entries[2].why == f"{entries[0].why}, signed with {signer}, approved by {officer}"


def test_page_shows_every_file_image_and_number_and_loads_nothing(desk: Desk) -> None:
    desk.prepare()
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    text = (desk.prepared / "review.txt").read_text(encoding="utf-8")
    for told in (page, text):
        for name in SIGNED:
            assert name in told
        assert "patients_positive" in told
        assert "at least 5" in told
        assert "whoever the hospitals agreed on" in told
    assert page.count("<img") == 3
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_dry_run_checks_all_and_releases_nothing(desk: Desk) -> None:
    desk.prepare()
    desk.refused("0 of 1 approvals", "--dry-run")
    desk.approve()
    status, out, _ = desk.release("--dry-run")
    assert status == 0
    assert "would release  st-mary-1" in out
    assert not desk.outbox.exists()
    assert desk.entries() == ["prepare", "approve"]


def test_nothing_leaves_unapproved(desk: Desk) -> None:
    desk.prepare()
    desk.refused("0 of 1 approvals are there")


def test_two_approvals_take_two_people(desk: Desk) -> None:
    desk.rule(2, ("officer", "head"))
    desk.prepare()
    desk.approve("officer")
    desk.approve("officer")
    desk.refused("1 of 2 approvals")
    desk.approve("head")
    assert desk.release()[0] == 0


def test_the_one_who_signs_does_not_count_as_an_approver(desk: Desk) -> None:
    desk.rule(1, ("st-mary", "officer"))
    desk.prepare()
    desk.approve("st-mary")
    desk.refused("0 of 1 approvals are there, besides the one who signs")


def test_key_that_the_policy_does_not_name_cannot_approve(desk: Desk) -> None:
    desk.rule(1, ("officer",))
    desk.prepare()
    status, _, err = desk.approve("head")
    assert status == 3
    assert "is not among the policy's approvers" in err
    assert list((desk.prepared / "approvals").iterdir()) == []


def smuggle(desk: Desk, claimed: str, signer: str) -> None:
    """Put an approval there that says all the right things, signed by another than it says."""
    rules = read_policy(desk.outbox)
    what = read_prepared(desk.prepared, render_preview, lambda told: release_pages(told, rules))
    public = load_public_key(desk.key(claimed, "pub"))
    statement = approval._statement(what, rules, claimed, public).to_bytes()
    secret = load_private_key(desk.key(signer), PASSPHRASE.encode())
    signed = sign(statement, secret)
    forged = Envelope(fingerprint(public), signed.payload, signed.signature)
    name = f"{fingerprint(public)}.sig"
    (desk.prepared / "approvals" / name).write_bytes(forged.to_bytes())


def test_approval_of_an_outsider_is_refused(desk: Desk) -> None:
    desk.rule(1, ("officer",))
    desk.prepare()
    desk.approve("officer")
    smuggle(desk, claimed="head", signer="head")
    desk.refused("which the policy does not name as an approver")


def test_approval_with_a_forged_signature_is_refused(desk: Desk) -> None:
    desk.prepare()
    smuggle(desk, claimed="officer", signer="head")
    desk.refused("not a sound approval")


def test_approval_that_the_ledger_does_not_know_is_refused(desk: Desk) -> None:
    desk.prepare()
    smuggle(desk, claimed="officer", signer="officer")
    desk.refused("has more approvals (1) than the ledger shows (0)")


def test_content_that_was_never_prepared_is_refused(desk: Desk) -> None:
    desk.rule(0, ())
    desk.prepare()
    rules = read_policy(desk.outbox)
    pages = partial(release_pages, policy=rules)
    what = read_prepared(desk.prepared, render_preview, pages)
    other = what.manifest.model_copy(update={"sequence": 777})
    shutil.rmtree(desk.prepared)
    prepare(
        prepared_from(desk.prepared, other, what.distilled, what.score, None, render_preview), pages
    )
    desk.refused("the ledger does not show that it was prepared")


def test_page_that_shows_something_else_than_what_leaves_is_refused(desk: Desk) -> None:
    desk.prepare()
    shown = {name: (desk.prepared / name).read_bytes() for name in ("review.html", "review.txt")}
    desk.prepared.rename(desk.folder / "before")
    desk.prepare("--expires-days", 60)
    for name, content in shown.items():
        (desk.prepared / name).write_bytes(content)
    assert "review.html: is not what the images, the manifest" in desk.approve()[2]
    desk.refused("review.html: is not what the images, the manifest")


@pytest.mark.parametrize("digest", ["", "ab", "0" * 16, "0" * 64])
def test_digest_that_was_not_read_off_the_page_approves_nothing(desk: Desk, digest: str) -> None:
    desk.prepare()
    status, _, err = desk.approve(digest=digest)
    assert status == 2
    assert "look at review.html" in err
    assert desk.shown()[:16] not in err  # or anybody would copy it from there
    assert desk.entries() == ["prepare"]


def test_approval_that_cannot_be_recorded_is_not_made(desk: Desk) -> None:
    desk.prepare()
    assert desk.approve(by="x" * 1001)[0] == 3
    assert list((desk.prepared / "approvals").iterdir()) == []


def test_link_to_the_outbox_has_no_policy_of_its_own(desk: Desk) -> None:
    desk.outbox.mkdir()
    (desk.folder / "o2").symlink_to(desk.outbox)
    for outbox in (desk.folder / "o2", desk.outbox / "x" / ".."):
        words = ("--key", desk.key("st-mary"), "--outbox", outbox, "--site", "st-mary")
        status, _, err = gdshare("publish", desk.folder / "run", *words)
        assert status == 3
        assert "requires a review and approval" in err
    assert list(desk.outbox.iterdir()) == []


def test_policy_that_is_a_link_into_nowhere_lets_nothing_out(desk: Desk) -> None:
    desk.policy.unlink()
    desk.policy.symlink_to(desk.folder / "unmounted")
    status, _, err = desk.prepare()
    assert status == 3
    assert "cannot be read" in err


def test_policy_that_was_taken_away_lets_nothing_out(desk: Desk) -> None:
    desk.prepare()
    desk.policy.unlink()
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    status, _, err = gdshare("publish", desk.folder / "run", *words)
    assert status == 3
    assert "the policy is gone, and the ledger shows that there was one" in err
    assert not desk.outbox.exists()


def test_release_that_was_broken_off_after_its_line_is_completed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.prepare()
    desk.approve()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("gdshare.release.publish.write_bundle", killed)
        desk.release()
    assert not desk.outbox.exists()
    assert desk.release()[0] == 0
    assert (desk.outbox / "st-mary-1" / "bundle.sig").exists()


@pytest.mark.parametrize("name", ["README.md", "preview.png"])
def test_picture_or_text_that_its_numbers_do_not_give_is_refused(desk: Desk, name: str) -> None:
    desk.prepare()
    desk.approve()
    path = desk.prepared / "content" / name
    path.write_bytes(path.read_bytes() + b"a note to the outside")
    desk.refused(f"{name}: is not what the images, the manifest")
    assert desk.approve()[0] == 3


def test_content_that_was_exchanged_after_its_approval_is_refused(desk: Desk) -> None:
    desk.prepare("--expires-days", 30)
    desk.approve()
    kept = [path.read_bytes() for path in (desk.prepared / "approvals").iterdir()]
    names = [path.name for path in (desk.prepared / "approvals").iterdir()]
    desk.prepared.rename(desk.folder / "before")
    desk.prepare("--expires-days", 60)
    for name, content in zip(names, kept, strict=True):
        (desk.prepared / "approvals" / name).write_bytes(content)
    desk.refused("approves other content")


def test_policy_that_was_loosened_after_the_approval_is_refused(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    looser = desk.policy.read_text(encoding="utf-8") + "[bundle]\nimages = 300\n"
    (desk.folder / "next.toml").write_text(looser, encoding="utf-8")
    digest = policy_digest(parse_policy(looser.encode(), desk.policy))
    words = ("--key", desk.key("head"), "--outbox", desk.outbox, "--digest", digest)
    gdshare("policy", "sign", desk.folder / "next.toml", *words, check=True)
    desk.refused("is not what the images, the manifest and the policy give")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("images = 2", "distilled images: 3, at most 2"),
        ("patients-per-class = 21", "training patients without the finding: 20, at least 21"),
        ("days = 364", "days from publication to expiry: 365, at most 364"),
    ],
)
def test_rule_that_is_not_kept_is_shown_and_stops_all_acts(
    desk: Desk, rule: str, told: str
) -> None:
    desk.rule(1, ("officer",), f"[bundle]\n{rule}\n")
    status, out, _ = desk.prepare()
    assert status == 3
    assert f"NOT kept  {told}\n" in out
    assert "does NOT allow this release" in (desk.prepared / "review.html").read_text(
        encoding="utf-8"
    )
    assert told in desk.approve()[2]
    desk.refused(told)


@pytest.mark.parametrize("damage", [b"", b"{", b"x" * 20_000])
def test_damaged_approval_is_refused_and_not_passed_over(desk: Desk, damage: bytes) -> None:
    desk.prepare()
    desk.approve("officer")
    desk.approve("head")
    next(iter((desk.prepared / "approvals").iterdir())).write_bytes(damage)
    desk.refused("not a sound approval")


def test_approval_by_a_name_that_cannot_be_written_is_refused(desk: Desk) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 can."""
    desk.prepare()
    rules = read_policy(desk.outbox)
    what = read_prepared(desk.prepared, render_preview, lambda told: release_pages(told, rules))
    key = load_private_key(desk.key("officer"), PASSPHRASE.encode())
    statement = approval._statement(what, rules, "half", key.public_key()).to_bytes()
    forged = sign(statement.replace(b'"half"', rb'"\ud800"'), key)
    name = f"{fingerprint(key.public_key())}.sig"
    (desk.prepared / "approvals" / name).write_bytes(forged.to_bytes())
    desk.refused("not a sound approval")


def test_stray_file_whose_name_is_no_utf8_is_refused(desk: Desk) -> None:
    desk.prepare()
    (desk.prepared / "approvals" / os.fsdecode(b"\xff.sig")).touch()
    desk.refused("is not an approval")


@pytest.mark.parametrize("name", ["note.txt", ".officer.sig.half", "\x1b[2J"])
def test_stray_file_among_the_approvals_is_named_and_refused(desk: Desk, name: str) -> None:
    desk.prepare()
    desk.approve()
    (desk.prepared / "approvals" / name).write_text("", encoding="utf-8")
    desk.refused(f"{name!r} is not an approval")


def test_signature_on_a_bundle_does_not_pass_for_an_approval(desk: Desk) -> None:
    desk.prepare()
    desk.approve("head")
    assert desk.release("--another-key", signer="officer")[0] == 0
    signature = (desk.outbox / "st-mary-1" / "bundle.sig").read_bytes()
    name = f"{fingerprint(load_public_key(desk.key('officer', 'pub')))}.sig"
    (desk.prepared / "approvals" / name).write_bytes(signature)
    status, _, err = desk.release("--dry-run", "--another-key")
    assert status == 3
    assert "not a sound approval" in err


def test_further_file_among_the_content_is_refused(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    (desk.prepared / "content" / "patients.csv").write_text("Doe", encoding="utf-8")
    desk.refused("no part of a bundle")


def test_what_is_there_is_not_prepared_over(desk: Desk) -> None:
    desk.prepare()
    status, _, err = desk.prepare()
    assert status == 2
    assert "already exists" in err
    assert desk.entries() == ["prepare"]


def test_released_once_it_is_not_released_again(desk: Desk) -> None:
    desk.prepare()
    desk.approve()
    desk.release()
    for more in ((), ("--dry-run",)):
        status, _, err = desk.release(*more)
        assert status == 3
        assert "publish with number 2" in err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[release]\napprovals = 2\n", "approvals asks for 2 people, and approvers names 0 keys"),
        (b"[release]\napproval = 1\n", "release.approval: no such rule; is approvals meant"),
        (b"[attack]\n", "attack: no such rule; is attacks meant"),
        (b"[bundle]\nsupress-below = 5\n", "is suppress-below meant"),
        (b"[attacks]\nmembership-loss = 0.9\n", 'in quotes: "membership-loss/1" = 0.9'),
        (b'[attacks]\n"membership-loss/1" = true\n', "attacks.membership-loss/1: Input should be"),
        (b'[attacks]\n"membership-loss/1" = nan\n', "attacks.membership-loss/1: Input should be"),
        (b"[bundle]\nimages = '3'\n", "bundle.images: Input should be"),
        (b"[release]\napprovals = 1\napprovers = ['ab']\n", "release.approvers.0"),
        (b"[release]\none-shot = 1\n", "release.one-shot: Input should be"),
        (b"images = ", "not readable TOML"),
        (b"\xff", "not readable TOML"),
        (b"#" * 70_000, "too large"),
    ],
)
def test_policy_that_is_none_lets_nothing_out(desk: Desk, content: bytes | None, told: str) -> None:
    desk.policy.write_bytes(content)
    status, _, err = desk.prepare()
    assert status == 3
    assert told in err
    assert not desk.prepared.exists()


def publish(desk: Desk) -> Ended:
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    return gdshare("publish", desk.folder / "run", *words)


def test_all_acts_at_once_only_where_the_policy_allows_it(desk: Desk) -> None:
    assert "requires a review and approval" in publish(desk)[2]
    desk.rule(approvals=0, approvers=(), more="one-shot = false\n")
    assert "requires a review and approval" in publish(desk)[2]
    desk.rule(approvals=0, approvers=(), more="[bundle]\nimages = 2\n")
    assert "does not let st-mary-1 out" in publish(desk)[2]
    assert not desk.outbox.exists()
    desk.rule(approvals=0, approvers=())
    assert publish(desk)[0] == 0


def manifest_of(desk: Desk) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        (desk.prepared / "content" / "gdshare.json").read_text(encoding="utf-8")
    )
    return found


def test_purpose_retention_and_recipients_come_from_the_policy(desk: Desk) -> None:
    rules = 'purpose = "the stomach study"\nretention-days = 7\nrecipients = ["tokyo", "osaka"]\n'
    desk.rule(1, ("officer",), f"[bundle]\n{rules}")
    desk.prepare()
    assert manifest_of(desk)["terms"] == {
        "purpose": "the stomach study",
        "recipients": ["osaka", "tokyo"],
        "retention_days": 7,
    }
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    assert "the stomach study" in page
    assert "within 7 days" in page


def test_recipient_whom_the_policy_does_not_name_is_refused(desk: Desk) -> None:
    desk.rule(1, ("officer",), '[bundle]\nrecipients = ["tokyo", "osaka"]\n')
    status, _, err = desk.prepare("--to", "kyoto")
    assert status == 3
    assert "does not name kyoto as a recipient" in err
    assert not desk.prepared.exists()
    assert desk.prepare("--to", "tokyo")[0] == 0
    assert manifest_of(desk)["terms"]["recipients"] == ["tokyo"]  # type: ignore[index]


@pytest.mark.parametrize("rule", ['purpose = ""', 'purpose = "für"', "retention-days = -1"])
def test_terms_that_no_bundle_takes_make_no_policy(desk: Desk, rule: str) -> None:
    desk.rule(1, ("officer",), f"[bundle]\n{rule}\n")
    status, _, err = desk.prepare()
    assert status == 3
    assert "until then nothing is released" in err


def test_numbers_below_the_policys_bound_are_not_told_and_count_as_none(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more="[bundle]\nsuppress-below = 21\n")
    desk.prepare()
    counts = json.loads((desk.prepared / "content" / "gdshare.json").read_text(encoding="utf-8"))[
        "counts"
    ]
    assert (counts["patients_negative"], counts["patients_positive"]) == (None, 21)
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    assert "fewer than 21" in page
    desk.refused("training patients without the finding: fewer than 21, at least 5")


def test_a_bundle_that_tells_smaller_numbers_than_the_policy_allows_is_refused(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more="[bundle]\nsuppress-below = 0\n")
    desk.prepare()
    desk.rule(approvals=0, approvers=(), more="[bundle]\nsuppress-below = 5\n")
    manifest = read_prepared_manifest(desk)
    broken = [one for one in findings(read_policy(desk.outbox), manifest) if not one.passed]
    assert [one.what for one in broken] == ["counts that are not told"]


def read_prepared_manifest(desk: Desk) -> Manifest:
    return Manifest.from_bytes((desk.prepared / "content" / "gdshare.json").read_bytes())


ATTACKS = '[attacks]\n"membership-loss/1" = 0.7\n'


def attacked(desk: Desk, high: float) -> None:
    attack = Attack(name="membership-loss/1", figure=0.5, low=0.4, high=high, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (attack,))


def test_what_was_not_attacked_as_the_policy_asks_does_not_leave(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more=ATTACKS)
    desk.prepare()
    desk.refused("attack membership-loss/1: not tried")


def test_what_an_attack_finds_too_much_in_does_not_leave(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more=ATTACKS)
    attacked(desk, high=0.701)
    desk.prepare()
    desk.refused("attack membership-loss/1: 0.500 (0.400 to 0.701; 0.500 where nothing is known)")


def test_what_came_out_is_on_the_page_and_in_the_bundle(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more=ATTACKS)
    attacked(desk, high=0.7)
    desk.prepare()
    for name in ("review.html", "review.txt", "content/README.md", "content/croissant.json"):
        assert "membership-loss/1" in (desk.prepared / name).read_text(encoding="utf-8")
    assert desk.release()[0] == 0
    bundle = json.loads((desk.outbox / "st-mary-1" / "gdshare.json").read_text(encoding="utf-8"))
    assert bundle["attacks"][0]["high"] == 0.7


def signed(desk: Desk, name: str, high: float = 0.6) -> None:
    """An audit that somebody signed."""
    found = Attack(name="membership-loss/1", figure=0.5, low=0.4, high=high, unrelated=0.5)
    result = read_result(desk.folder / "run")
    secret = load_private_key(desk.key(name), PASSPHRASE.encode())
    write_audit(desk.folder / "run", record_of(result, (found,)), secret)


def pages(desk: Desk) -> list[str]:
    names = ("review.html", "review.txt")
    return [unescape((desk.prepared / name).read_text(encoding="utf-8")) for name in names]


def test_approver_sees_whose_word_the_figures_are(desk: Desk) -> None:
    for name, whose in (("officer", "an approver's"), ("st-mary", "no approver's")):
        signed(desk, name)
        desk.prepare()
        fingerprint_ = fingerprint(load_public_key(desk.key(name, "pub")))
        for page in pages(desk):
            assert f"signed with the key {fingerprint_}, which is {whose}" in page
        shutil.rmtree(desk.prepared)
    attacked(desk, high=0.6)
    desk.prepare()
    for page in pages(desk):
        assert "Nobody signed the audit" in page
    shutil.rmtree(desk.prepared)
    (desk.folder / "run" / "audit.json").unlink()
    desk.prepare()
    for page in pages(desk):
        assert "signed the audit" not in page


def test_signature_of_an_audit_with_other_figures_is_not_shown_as_its_own(desk: Desk) -> None:
    signed(desk, "officer", high=0.55)
    desk.prepare()
    kept = [(desk.prepared / name).read_bytes() for name in ("audit.json", "audit.sig")]
    shutil.rmtree(desk.prepared)
    signed(desk, "officer", high=0.6)
    desk.prepare()
    for name, content in zip(("audit.json", "audit.sig"), kept, strict=True):
        (desk.prepared / name).write_bytes(content)
    ended = desk.approve()
    assert (ended.status, "other figures than leave" in ended.err) == (3, True)
    (desk.prepared / "audit.json").unlink()
    assert desk.approve().status == 3, "the page names a signer"


def test_attacks_on_another_result_do_not_count(desk: Desk) -> None:
    attacked(desk, high=0.6)
    result = desk.folder / "run" / "distilled.safetensors"
    distilled = read_result(desk.folder / "run")
    result.write_bytes(replace(distilled, images=distilled.images + 1).to_bytes())
    status, _, err = desk.prepare()
    assert (status, "another result" in err) == (2, True)
    assert not desk.prepared.exists()


def test_every_act_can_be_tried_without_being_done(desk: Desk) -> None:
    status, out, _ = desk.prepare("--dry-run")
    assert (status, out) == (0, "would prepare  st-mary-1\n")
    assert not desk.prepared.exists()
    assert desk.entries() == []
    desk.prepare()
    approve = ("approve", desk.prepared, "--key", desk.key("officer"), "--outbox", desk.outbox)
    status, out, _ = gdshare(*approve, "--digest", desk.shown(), "--dry-run")
    assert (status, out) == (0, f"would approve  st-mary-1\ndigest         {desk.shown()}\n")
    assert list((desk.prepared / "approvals").iterdir()) == []
    assert desk.entries() == ["prepare"]


def test_publishing_can_be_tried_without_being_done(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=())
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    status, out, _ = gdshare("publish", desk.folder / "run", *words, "--dry-run")
    assert status == 0
    assert out.startswith("would publish  st-mary-1\n")
    assert not desk.outbox.exists()
    assert desk.entries() == []
    assert gdshare("publish", desk.folder / "run", *words)[0] == 0


def test_attack_that_nobody_makes_is_told_as_such(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=(), more='[attacks]\n"membership-lost/1" = 0.7\n')
    desk.prepare()
    desk.refused("gdshare audit knows identifiers/1, membership-bundle/1")


def test_page_says_that_nothing_was_tried_where_nothing_need_be(desk: Desk) -> None:
    desk.prepare()
    said = "none tried, or no control fired; see gdshare audit"
    assert said in (desk.prepared / "review.txt").read_text(encoding="utf-8")


def test_attack_whose_control_did_not_fire_is_not_said_to_be_untried(desk: Desk) -> None:
    """It was tried, and found nothing; the officer reads that this counts for nothing."""
    found = Attack(name="membership-loss/1", figure=0.5, low=0.4, high=0.6, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (found,), SILENT)
    desk.prepare()
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    assert "None was tried" not in page
    named = page.partition("<p>Not tried, or the control did not fire: ")[2].partition("</p>")[0]
    assert {"membership-bundle/1", "membership-loss/1"} <= set(named.rstrip(".").split(", "))


def test_mistyped_outbox_is_not_taken_for_a_forged_page(desk: Desk) -> None:
    desk.prepare()
    words = ("--key", desk.key("officer"), "--outbox", desk.folder / "outbx")
    _, _, err = gdshare("approve", desk.prepared, *words, "--digest", desk.shown())
    assert "nothing was prepared for this outbox; check --outbox" in err


def test_public_half_of_a_key_is_told_as_such(desk: Desk) -> None:
    desk.prepare()
    words = ("--key", desk.key("officer", "pub"), "--outbox", desk.outbox)
    _, _, err = gdshare("approve", desk.prepared, *words, "--digest", desk.shown())
    assert "is the public half of a key; give its NAME.key" in err


def test_reason_of_a_withdrawal_is_not_taken_for_a_policy(desk: Desk) -> None:
    desk.rule(approvals=0, approvers=())
    desk.policy.unlink()
    for path in desk.folder.glob("outbox-ledger.jsonl*"):
        path.unlink()
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox)
    run = ("publish", desk.folder / "run", *words, "--site", "st-mary")
    assert gdshare(*run)[0] == 0
    digest = read_ledger(desk.folder / "outbox-ledger.jsonl")[0].digest
    why = ("--digest", digest, "--why", "by policy of our ethics board")
    assert gdshare("withdraw", "st-mary-1", *words, *why)[0] == 0
    assert gdshare(*run)[0] == 0
