"""What changes while somebody types a passphrase is what is checked, signed and released."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import Ended, gdshare
from desk_kit import Desk

from gdshare.ledger import read_ledger

Change = Callable[[Desk], None]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Prepared and approved, with a run of its own for ``publish``."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    desk = Desk(tmp_path)
    desk.prepare("--expires-days", 60)
    desk.prepared.rename(tmp_path / "other")
    desk.prepare()
    return desk


def while_typing(change: Change, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def prompt(*_: object, **__: object) -> str:
        change(desk)
        return PASSPHRASE

    monkeypatch.delenv("GDSHARE_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)


def loosen(desk: Desk) -> None:
    desk.policy.write_text("[release]\napprovals = 0\n", encoding="utf-8")


def swap_content(desk: Desk) -> None:
    shutil.rmtree(desk.prepared / "content")
    shutil.copytree(desk.folder / "other" / "content", desk.prepared / "content")
    for name in ("review.html", "review.txt"):
        shutil.copy(desk.folder / "other" / name, desk.prepared / name)


def damage_approval(desk: Desk) -> None:
    (approval,) = (desk.prepared / "approvals").iterdir()
    approval.write_bytes(approval.read_bytes()[:-1])


def remove_approval(desk: Desk) -> None:
    (approval,) = (desk.prepared / "approvals").iterdir()
    approval.unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (loosen, "this is not the policy in force"),
        (swap_content, "approves other content"),
        (damage_approval, "not a sound approval"),
        (remove_approval, "0 of 1 approvals"),
    ],
)
def test_release_sees_what_was_changed_during_its_prompt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Change, told: str
) -> None:
    desk.approve()
    while_typing(change, desk, monkeypatch)
    desk.refused(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [(loosen, "this is not the policy in force"), (swap_content, "--digest")],
)
def test_approval_is_of_what_is_there_after_its_prompt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Change, told: str
) -> None:
    shown = desk.shown()
    while_typing(change, desk, monkeypatch)
    status, _, err = desk.approve(digest=shown)
    assert status
    assert told in err
    assert not list((desk.prepared / "approvals").iterdir())


def publish(desk: Desk) -> Ended:
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, "--site", "st-mary")
    return gdshare("publish", desk.folder / "run", *words)


def forbid(desk: Desk) -> None:
    desk.rule(1, ("officer",))


def another_run(desk: Desk) -> None:
    (desk.folder / "run" / "distilled.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "told"), [(forbid, "requires a review and approval"), (another_run, "distilled")]
)
def test_publication_follows_policy_and_run_after_its_prompt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Change, told: str
) -> None:
    desk.rule(0, ())
    while_typing(change, desk, monkeypatch)
    status, _, err = publish(desk)
    assert status
    assert told in err
    assert not desk.outbox.exists()


def test_withdrawal_that_somebody_else_made_meanwhile_is_not_recorded_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.approve()
    desk.release()
    digest = read_ledger(desk.folder / "outbox-ledger.jsonl")[-1].digest
    words = ("withdraw", str(digest), "--key", desk.key("st-mary"), "--outbox", desk.outbox)
    patched = monkeypatch.context

    def withdraw_too(_: Desk) -> None:
        with patched() as inner:
            inner.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
            gdshare(*words, "--why", "first", check=True)

    while_typing(withdraw_too, desk, monkeypatch)
    assert gdshare(*words, "--why", "second")[0] == 0
    entries = read_ledger(desk.folder / "outbox-ledger.jsonl")
    assert [entry.why for entry in entries if entry.act == "withdraw"] == ["first"]


def test_time_in_the_ledger_is_that_of_the_act_and_not_of_the_prompt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.approve()
    began = time.time()
    while_typing(lambda _: time.sleep(1.1), desk, monkeypatch)
    assert desk.release()[0] == 0
    entry = read_ledger(desk.folder / "outbox-ledger.jsonl")[-1]
    assert entry.at.timestamp() > began
