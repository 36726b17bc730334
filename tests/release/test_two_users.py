"""Two users of the machine, of one group, share an outbox: one after the other they release."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest
from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run
from command_kit import Ended, gdshare

from gdshare.ledger import read_ledger

GROUP = 54_321
ENGINEER, OFFICER, STRANGER = 12_345, 12_346, 12_347

pytestmark = pytest.mark.skipif(
    not hasattr(os, "setresuid") or os.geteuid() != 0, reason="only root becomes other users"
)


def _become(user: int, groups: list[int], umask: int, words: tuple[str, ...], answer) -> None:
    os.setgroups(groups)
    os.setresgid(user, user, user)  # a group of their own, as most systems give everybody
    os.setresuid(user, user, user)
    os.umask(umask)
    answer.send(tuple(gdshare(*words)))


def as_user(user: int, *words: object, umask: int = 0o022) -> Ended:
    """Run ``gdshare WORDS`` as another user; all modules are loaded already."""
    fork = get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    groups = [] if user == STRANGER else [GROUP]
    text = tuple(str(word) for word in words)
    process = fork.Process(target=_become, args=(user, groups, umask, text, sender))
    process.start()
    sender.close()
    ended = Ended(*receiver.recv())
    process.join()
    return ended


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the group, and each user's keys in a folder of their own."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    home = Path(tempfile.mkdtemp(prefix="gdshare-two-users-"))
    home.chmod(0o755)
    for user in (ENGINEER, OFFICER, STRANGER):
        (home / str(user)).mkdir(mode=0o700)
        os.chown(home / str(user), user, user)
    audit_within_bounds(make_run(home / "run"))
    folder = home / "shared"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    _walk_once(home / "rehearsal")
    yield folder
    shutil.rmtree(home)


def _walk_once(folder: Path) -> None:
    """Load whatever modules the commands need: another user may not read this Python's folder."""
    folder.mkdir()
    make_run(folder / "run")
    gdshare("keys", "new", "--name", "st-mary", "--out", folder / "keys", check=True)
    of_outbox = ("--outbox", folder / "outbox", "--site", "st-mary")
    gdshare("policy", "new", *of_outbox, check=True)
    gdshare("prepare", folder / "run", "--out", folder / "prepared", *of_outbox, check=True)
    gdshare(
        "approve",
        folder / "prepared",
        "--key",
        "none",
        "--outbox",
        folder / "outbox",
        "--digest",
        "0",
    )
    key = ("--key", folder / "keys" / "st-mary.key")
    gdshare("release", folder / "prepared", *key, *of_outbox[:2], check=True)
    digest = read_ledger(folder / "outbox-ledger.jsonl")[-1].digest
    gdshare("withdraw", str(digest), *key, *of_outbox[:2], check=True)


def succeed(user: int, *words: object, umask: int = 0o022) -> str:
    ended = as_user(user, *words, umask=umask)
    assert not ended.status, ended.err
    return ended.out


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_two_users_of_a_group_release_and_withdraw_in_turn(shared: Path, umask: int) -> None:
    home, outbox, prepared = shared.parent, shared / "outbox", shared / "prepared"
    keys = {user: home / str(user) / "keys" for user in (ENGINEER, OFFICER)}
    succeed(ENGINEER, "keys", "new", "--name", "st-mary", "--out", keys[ENGINEER], umask=umask)
    succeed(
        OFFICER, "keys", "new", "--name", "st-mary-officer", "--out", keys[OFFICER], umask=umask
    )
    public = shared / "officer.pub"
    shutil.copy(keys[OFFICER] / "st-mary-officer.pub", public)
    public.chmod(0o644)
    site, at = ("--site", "st-mary"), ("--outbox", outbox)
    succeed(OFFICER, "policy", "new", *at, *site, "--approver", public, umask=umask)
    for number in (1, 2):  # the second time, every file is there already, of the other user
        out = succeed(ENGINEER, "prepare", home / "run", "--out", prepared, *at, *site, umask=umask)
        digest = out.split("digest    ")[1].split()[0]
        signed = ("--key", keys[OFFICER] / "st-mary-officer.key", *at, "--digest", digest)
        succeed(OFFICER, "approve", prepared, *signed, umask=umask)
        key = ("--key", keys[ENGINEER] / "st-mary.key")
        succeed(ENGINEER, "release", prepared, *key, *at, umask=umask)
        shutil.rmtree(prepared)
        assert (outbox / f"st-mary-{number}" / "bundle.sig").exists()
    out = succeed(OFFICER, "ledger", "verify", shared / "outbox-ledger.jsonl", umask=umask)
    assert "lines   7, chained and complete" in out
    own = ("--key", keys[OFFICER] / "st-mary-officer.key", "--another-key")
    succeed(OFFICER, "withdraw", digest, *own, *at, umask=umask)
    assert [path.name for path in outbox.iterdir()].count("st-mary-2.withdrawal") == 1
    succeed(ENGINEER, "ledger", "show", shared / "outbox-ledger.jsonl", umask=umask)


def test_user_outside_the_group_reads_and_writes_nothing(shared: Path) -> None:
    home, outbox = shared.parent, shared / "outbox"
    succeed(ENGINEER, "policy", "new", "--outbox", outbox, "--site", "st-mary")
    for words in (
        ("ledger", "show", shared / "outbox-ledger.jsonl"),
        (
            "prepare",
            home / "run",
            "--out",
            home / "stranger",
            "--outbox",
            outbox,
            "--site",
            "st-mary",
        ),
    ):
        status, _, err = as_user(STRANGER, *words)
        assert status
        assert err.count("\n") == 1
        assert "evidence" not in err


def test_head_that_a_user_may_not_read_is_not_taken_for_a_forgery(shared: Path) -> None:
    outbox = shared / "outbox"
    succeed(ENGINEER, "policy", "new", "--outbox", outbox, "--site", "st-mary")
    head = shared / "outbox-ledger.jsonl.head"
    head.chmod(0o600)
    status, _, err = as_user(OFFICER, "ledger", "verify", shared / "outbox-ledger.jsonl")
    assert status
    assert "cannot be read (Permission denied)" in err
    assert "evidence" not in err


def test_one_users_gdshare_toml_is_not_taken_by_another_but_roots_is(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdshare("policy", "show", "--outbox", shared.parent / "rehearsal" / "outbox", check=True)
    succeed(ENGINEER, "policy", "new", "--outbox", shared / "outbox", "--site", "st-mary")
    config = shared / "gdshare.toml"
    monkeypatch.chdir(shared)
    shown = ("policy", "show")
    for owner, mode, takers in (
        (ENGINEER, 0o644, {ENGINEER}),
        (OFFICER, 0o644, {OFFICER}),
        (0, 0o644, {ENGINEER, OFFICER}),
        (ENGINEER, 0o664, set()),
        (0, 0o664, set()),
    ):
        config.write_text('outbox = "outbox"\n', encoding="utf-8")
        os.chown(config, owner, GROUP)
        config.chmod(mode)
        for user in (ENGINEER, OFFICER):
            ended = as_user(user, *shown)
            assert (ended.status == 0) == (user in takers), (owner, mode, user, ended.err)
            assert as_user(user, *shown, "--outbox", shared / "outbox").status == 0
