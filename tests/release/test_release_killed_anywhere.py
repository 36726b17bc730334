"""kill -9 before any change of an act: record and outbox agree, and the act can be done again."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundle_run_kit import make_run
from kill_kit import KILLED, Killer

from gdshare.bundle import published, verify_folder
from gdshare.ledger import read_ledger
from gdshare.release.pinned import policy_in_force
from gdshare.release.policy import Policy
from gdshare.signing import fingerprint, load_public_key

SIGNER, OFFICER = "st-mary", "officer"
MOST_CHANGES = 60


@pytest.fixture(scope="module")
def before(killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A hospital's folder before each act."""
    desk = tmp_path_factory.mktemp("hospital") / "desk"
    desk.mkdir()
    make_run(desk / "run")
    for name in (SIGNER, OFFICER):
        assert killer.run(["keys", "new", "--name", name, "--out", desk / "keys"], desk) == 0
    kept = {"publish": _copy(desk, "publish")}
    officer = fingerprint(load_public_key(desk / "keys" / f"{OFFICER}.pub"))
    (desk / "outbox-policy.toml").write_text(
        f'[release]\napprovals = 1\napprovers = ["{officer}"]\none-shot = false\n', encoding="utf-8"
    )
    for act in ("policy", "prepare", "approve", "release"):
        kept[act] = _copy(desk, act)
        assert killer.run(words(act, desk), desk) == 0
    return kept


def _copy(desk: Path, act: str) -> Path:
    return shutil.copytree(desk, desk.with_name(act))


def words(act: str, desk: Path) -> list[object]:
    outbox, site = ("--outbox", desk / "outbox"), ("--site", "st-mary")
    match act:
        case "policy":
            return [act, "new", *outbox, *site]
        case "prepare":
            return [act, desk / "run", "--out", desk / "prepared", *outbox, *site]
        case "approve":
            shown = (desk / "prepared" / "review.txt").read_text(encoding="utf-8")
            digest = shown.split("digest of all: ")[1][:64]
            key = desk / "keys" / f"{OFFICER}.key"
            return [act, desk / "prepared", "--key", key, *outbox, "--digest", digest]
        case "release":
            return [act, desk / "prepared", "--key", desk / "keys" / f"{SIGNER}.key", *outbox]
    return [act, desk / "run", "--key", desk / "keys" / f"{SIGNER}.key", *outbox, *site]


def done(act: str, desk: Path) -> bool:
    """Whether the act's effect is there, whole."""
    if act == "policy":
        entries = read_ledger(desk / "outbox-ledger.jsonl")
        return policy_in_force(desk / "outbox", entries) != Policy()
    if act == "prepare":
        return (desk / "prepared").exists()
    if act == "approve":
        return any((desk / "prepared" / "approvals").glob("*.sig"))
    return bool(published(desk / "outbox"))


def record_and_outbox_agree(desk: Path) -> None:
    entries = read_ledger(desk / "outbox-ledger.jsonl")
    key = load_public_key(desk / "keys" / f"{SIGNER}.pub")
    for folder in published(desk / "outbox"):
        bundle = verify_folder(folder, key, datetime.now(UTC))
        released = [
            entry.digest for entry in entries if (entry.act, entry.what) == ("release", folder.name)
        ]
        assert released == [bundle.digest] * len(released) != []
    if (desk / "prepared").exists():
        assert len(list((desk / "prepared" / "content").iterdir())) == 5
        assert "prepare" in [entry.act for entry in entries]


@pytest.mark.parametrize("act", ["policy", "prepare", "approve", "release", "publish"])
def test_act_that_is_killed_anywhere_leaves_what_agrees_and_can_be_redone(
    act: str, killer: Killer, before: dict[str, Path], tmp_path: Path
) -> None:
    kills = list(killed_at_each(act, killer, before[act], tmp_path / "desk", redo))
    assert len(kills) >= 4


def redo(act: str, killer: Killer, desk: Path) -> None:
    record_and_outbox_agree(desk)
    had = act != "policy" and done(act, desk)
    status = killer.run(words(act, desk), desk)
    if act in ("prepare", "release") and had:
        assert status == 2  # it had been done, and is not done twice
    else:
        assert status == 0
    record_and_outbox_agree(desk)
    assert done(act, desk)


def killed_at_each(
    act: str,
    killer: Killer,
    template: Path,
    desk: Path,
    after: Callable[[str, Killer, Path], None],
) -> Iterator[int]:
    """Kill the act before its first change, its second and so on, each time in a fresh folder."""
    for at in range(1, MOST_CHANGES):
        shutil.rmtree(desk, ignore_errors=True)
        shutil.copytree(template, desk)
        status = killer.run(words(act, desk), desk, at)
        if status != KILLED:
            assert status == 0
            return
        after(act, killer, desk)
        yield at
    raise AssertionError(f"{act} makes more than {MOST_CHANGES} changes")
