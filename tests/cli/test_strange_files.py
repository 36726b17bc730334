"""A pipe, a device or a huge file in any file's place is one sentence, at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from desk_kit import Desk

SURROGATE = os.fsdecode(b"\xff")


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 2**40)  # a hole: no bytes on the disk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A bundle prepared, approved and released; another prepared and approved."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
        desk = Desk(tmp_path_factory.mktemp("hospital"))
        for _ in range(2):
            desk.prepare()
            desk.approve()
            if not desk.outbox.exists():
                desk.release()
                desk.prepared.rename(desk.folder / "released")
        sealing = ("keys", "new", "--name", "tokyo", "--out", desk.folder / "keys", "--sealing")
        gdshare(*sealing, check=True)
        secret = desk.folder / "secret"
        secret.write_text(PASSPHRASE, encoding="utf-8")
        secret.chmod(0o600)
        (desk.folder / "next.toml").write_bytes(desk.policy.read_bytes())
    return desk


def release(desk: Desk) -> list[object]:
    return ["release", desk.prepared, "--key", desk.key("st-mary"), "--outbox", desk.outbox]


def approve(desk: Desk) -> list[object]:
    words = ("--key", desk.key("officer"), "--outbox", desk.outbox, "--digest", "0" * 16)
    return ["approve", desk.prepared, *words]


def prepare(desk: Desk) -> list[object]:
    words = ("--out", desk.folder / "x", "--outbox", desk.outbox, "--site", "st-mary")
    return ["prepare", desk.folder / "run", *words]


def verify(desk: Desk) -> list[object]:
    return ["verify", desk.outbox / "st-mary-1", "--key", desk.key("st-mary", "pub")]


def seal(desk: Desk) -> list[object]:
    words = ("--to", desk.folder / "keys" / "tokyo.seal.pub", "--out", desk.folder / "sealed")
    return ["seal", desk.outbox / "st-mary-1", *words]


def withdraw(desk: Desk) -> list[object]:
    secret = ("--passphrase-file", desk.folder / "secret", "--dry-run")
    words = ("--key", desk.key("st-mary"), "--outbox", desk.outbox, *secret)
    return ["withdraw", "st-mary-1", *words]


def show_policy(desk: Desk) -> list[object]:
    return ["policy", "show", desk.folder / "next.toml", "--outbox", desk.outbox]


def show_ledger(desk: Desk) -> list[object]:
    return ["ledger", "show", desk.folder / "outbox-ledger.jsonl"]


def approval_of(desk: Desk) -> str:
    (path,) = (desk.prepared / "approvals").glob("*.sig")
    return str(path.relative_to(desk.folder))


def policy_of(desk: Desk) -> str:
    (path,) = (desk.folder / "outbox-policies").glob("*.toml")
    return str(path.relative_to(desk.folder))


PLACES: list[tuple[Callable[[Desk], list[object]], str | Callable[[Desk], str]]] = [
    (prepare, "run/run.json"),
    (prepare, "run/distilled.safetensors"),
    (prepare, "run/score.json"),
    (prepare, "outbox-policy.toml"),
    (prepare, policy_of),
    (prepare, "outbox-ledger.jsonl"),
    (prepare, "outbox-ledger.jsonl.head"),
    (approve, "prepared/review.html"),
    (approve, "prepared/content/gdshare.json"),
    (approve, "prepared/score.json"),
    (approve, "keys/officer.key"),
    (release, approval_of),
    (release, "prepared/review.txt"),
    (release, "prepared/content/distilled.safetensors"),
    (verify, "outbox/st-mary-1/bundle.sig"),
    (verify, "keys/st-mary.pub"),
    (seal, "outbox/st-mary-1/README.md"),
    (seal, "keys/tokyo.seal.pub"),
    (withdraw, "secret"),
    (show_policy, "next.toml"),
    (show_ledger, "outbox-ledger.jsonl.head"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [pipe, device, huge])
@pytest.mark.parametrize(("command", "place"), PLACES)
def test_command_refuses_it_in_one_sentence_and_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command, place, make
) -> None:
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    path = desk.folder / (place if isinstance(place, str) else place(desk))
    kept = (
        path.with_name("kept-aside") if path.parent == desk.folder else desk.folder / "kept-aside"
    )
    path.rename(kept)
    make(path)
    try:
        status, _, err = gdshare(*command(desk))
    finally:
        path.unlink()
        kept.rename(path)
    assert status
    assert "fault in gdshare" not in err
    assert err.count("\n") == 1, err
