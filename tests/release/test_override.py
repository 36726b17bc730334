"""An approver may let images out over a bound on attacks: signed, recorded, and for these alone."""

import json
import shutil
from pathlib import Path

import pytest
from audit_kit import write_attacks
from bundle_factory import manifest
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from desk_kit import Desk

from gdshare.audit import ATTACKS as ATTACK_NAMES
from gdshare.bundle.attacks import Attack
from gdshare.distill.run_folder import read_result
from gdshare.errors import PolicyError
from gdshare.ledger import read_ledger
from gdshare.release import Policy
from gdshare.release.rules import broken_bounds, require_allowed

ATTACKS = '[attacks]\n"membership-loss/1" = 0.7\n'
WHY = "the board agreed on 1 May: 0.8 is what its own control reaches"


def attacked(desk: Desk, high: float = 0.8) -> None:
    found = Attack(name="membership-loss/1", figure=0.65, low=0.6, high=high, unrelated=0.5)
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), (found,))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Whose run an attack finds more in than the policy allows; it is prepared."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    desk.rule(1, ("officer", "head"), ATTACKS)
    attacked(desk)
    assert desk.prepare().status == 3
    return desk


def approve(desk: Desk, *more: object, name: str = "officer") -> Ended:
    words = ("--key", desk.key(name), "--outbox", desk.outbox, "--by", name)
    return gdshare("approve", desk.prepared, *words, "--digest", desk.shown()[:16], *more)


def test_over_the_bound_nothing_is_approved_and_the_way_out_is_named(desk: Desk) -> None:
    ended = approve(desk)
    assert ended.status == 3
    assert "attack membership-loss/1: 0.650 (0.600 to 0.800" in ended.err
    assert "an approver may override it with gdshare approve --despite WHY" in ended.err
    page = (desk.prepared / "review.html").read_text(encoding="utf-8")
    assert "The policy does NOT allow this release. An approver may override it" in page


def test_override_lets_it_out_and_ledger_and_receipt_say_who_and_why(desk: Desk) -> None:
    ended = approve(desk, "--despite", WHY)
    assert ended.status == 0, ended.err
    assert "overridden  attack membership-loss/1: 0.650" in ended.out
    assert desk.release().status == 0
    assert desk.entries() == ["prepare", "override", "approve", "release"]
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    line = next(entry for entry in entries if entry.act == "override")
    assert (line.by, line.what) == ("officer", "st-mary-1")
    assert line.why.endswith(f"upper end 0.700 at most: {WHY}")


def test_reason_stands_in_the_ledger_however_many_bounds_are_broken(desk: Desk) -> None:
    names = [name for name in ATTACK_NAMES if name != "identifiers/1"]
    shutil.rmtree(desk.prepared)
    bounds = "".join(f'"{name}" = 0.7\n' for name in names)
    desk.rule(1, ("officer", "head"), f"[attacks]\n{bounds}")
    found = [Attack(name=own, figure=0.8, low=0.7, high=0.9, unrelated=0.5) for own in names]
    write_attacks(desk.folder / "run", read_result(desk.folder / "run"), found)
    desk.prepare()
    why = "the board agreed on 1 May, since " + 200 * "y"
    assert approve(desk, "--despite", why).status == 0
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    line = next(entry for entry in entries if entry.act == "override")
    assert line.why.endswith(f"…: {why}")
    assert desk.release().status == 0


def test_second_approver_sees_the_override_and_approves_without_one(desk: Desk) -> None:
    shutil.rmtree(desk.prepared)
    desk.rule(2, ("officer", "head"), ATTACKS)
    assert desk.prepare().status == 3
    assert approve(desk, "--despite", WHY).status == 0
    for more in (("--dry-run",), ()):
        ended = approve(desk, *more, name="head")
        assert ended.status == 0
        assert "overridden before  officer: attack membership-loss/1" in ended.out
        assert WHY in ended.out
    assert desk.release().status == 0


def test_signers_own_override_does_not_count(desk: Desk) -> None:
    shutil.rmtree(desk.prepared)
    desk.rule(1, ("officer", "st-mary"), ATTACKS)
    desk.prepare()
    assert approve(desk, "--despite", WHY, name="st-mary").status == 0
    assert approve(desk).status == 0
    desk.refused("overridden with the key alone that signs it, which does not count")


def test_who_may_not_approve_may_not_override(desk: Desk) -> None:
    assert approve(desk, "--despite", WHY, name="st-mary").status == 3
    assert not (desk.prepared / "overrides").exists()
    assert desk.entries() == ["prepare"]


def test_override_holds_for_this_content_and_these_figures_alone(desk: Desk) -> None:
    approve(desk, "--despite", WHY)
    signed = {path.name: path.read_bytes() for path in (desk.prepared / "overrides").iterdir()}
    shutil.rmtree(desk.prepared)
    attacked(desk, high=0.9)
    desk.prepare()
    for name, content in signed.items():
        (desk.prepared / "overrides").mkdir(exist_ok=True)
        (desk.prepared / "overrides" / name).write_bytes(content)
    desk.refused("overrides the bounds for other content or figures")


def test_override_that_the_ledger_does_not_show_is_refused(desk: Desk) -> None:
    copy = desk.folder / "before"
    copy.mkdir()
    for path in desk.folder.glob("outbox-ledger.jsonl*"):
        shutil.copy(path, copy)
    approve(desk, "--despite", WHY)
    for path in copy.iterdir():
        shutil.copy(path, desk.folder)
    desk.refused("the ledger does not show that its bounds were overridden")


def test_forged_or_strange_files_stop_the_release(desk: Desk) -> None:
    approve(desk, "--despite", WHY)
    [path] = (desk.prepared / "overrides").iterdir()
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"', b"'", 1))
    desk.refused("not a sound override")
    path.write_bytes(content)
    (desk.prepared / "overrides" / "note.txt").write_text("x", encoding="utf-8")
    desk.refused("is not an override")


@pytest.mark.parametrize("why", ["", " ", "x" * 301, "a\x1b[2J", "grün"])
def test_reason_that_cannot_be_shown_is_refused(desk: Desk, why: str) -> None:
    assert approve(desk, "--despite", why).status == 2
    assert desk.entries() == ["prepare"]


def test_blank_name_is_no_name(desk: Desk) -> None:
    ended = approve(desk, "--despite", WHY, "--by", "  ")
    assert ended.status == 0, ended.err
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    assert all(entry.by.strip() for entry in entries)


def test_nothing_else_can_be_overridden(desk: Desk) -> None:
    """Neither an attack that was not tried, nor a rule about anything else."""
    shutil.rmtree(desk.prepared)
    (desk.folder / "run" / "audit.json").unlink()
    desk.prepare()
    ended = approve(desk, "--despite", WHY)
    assert ended.status == 3
    assert "not tried, or its control did not fire" in ended.err
    assert "--despite" not in ended.err
    shutil.rmtree(desk.prepared)
    desk.rule(1, ("officer",), f"[bundle]\nimages = 2\n{ATTACKS}")
    attacked(desk)
    desk.prepare()
    ended = approve(desk, "--despite", WHY)
    assert (ended.status, "distilled images: 3, at most 2" in ended.err) == (3, True)


def test_override_where_no_bound_is_broken_is_refused(desk: Desk) -> None:
    shutil.rmtree(desk.prepared)
    attacked(desk, high=0.7)
    assert desk.prepare().status == 0
    ended = approve(desk, "--despite", WHY)
    assert (ended.status, "no attack finds more than the policy allows" in ended.err) == (2, True)


def test_one_step_publishing_overrides_nothing(desk: Desk) -> None:
    desk.rule(0, (), ATTACKS)
    sign = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    ended = gdshare("publish", desk.folder / "run", *sign, "--json")
    assert (ended.status, "--despite" in ended.err) == (3, False)


def test_dry_run_overrides_nothing(desk: Desk) -> None:
    ended = approve(desk, "--despite", WHY, "--dry-run", "--json")
    assert json.loads(ended.out)["would_approve"] == "st-mary-1"
    assert desk.entries() == ["prepare"]


def test_name_that_was_found_cannot_be_let_out() -> None:
    found = Attack(name="identifiers/1", figure=0.001, low=0.001, high=0.001, unrelated=0.0)
    policy = Policy(attacks={"identifiers/1": 0.0})
    about = manifest(attacks=(found,))
    assert broken_bounds(policy, about) == ()
    with pytest.raises(PolicyError, match=r"attack identifiers/1: 0\.001"):
        require_allowed(policy, about, overridden=True)


def test_name_that_was_found_stays_where_the_policy_is_silent() -> None:
    """Also by the default policy, under which one person publishes in one step."""
    found = Attack(name="identifiers/1", figure=0.001, low=0.001, high=0.001, unrelated=0.0)
    about = manifest(attacks=(found,))
    for policy in (Policy(), Policy(attacks={"nearest-patch/1": 0.7})):
        with pytest.raises(PolicyError, match=r"attack identifiers/1: 0\.001"):
            require_allowed(policy, about, overridden=True)
    nothing = found.model_copy(update={"figure": 0.0, "low": 0.0, "high": 0.0})
    require_allowed(Policy(), manifest(attacks=(nothing,)))
    require_allowed(Policy(), manifest())
