"""kill -9 before any change of gdshare trust: ledger and keys agree, and it can be done again."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_kit import KILLED, Killer

from gdshare.ledger import read_ledger
from gdshare.signing import fingerprint, load_public_key
from gdshare.trust.key_history import REVOKE, TRUST, revoked_keys
from gdshare.trust.keys import load_trust

MOST_CHANGES = 40


@pytest.fixture(scope="module")
def desk(killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aggregator") / "desk"
    folder.mkdir()
    new = ["keys", "new", "--name", "north", "--out", folder / "keys"]
    assert killer.run(new, folder) == 0
    return folder


def digest_of(desk: Path) -> str:
    return fingerprint(load_public_key(desk / "keys" / "north.pub"))


def add(desk: Path) -> list[object]:
    key, trust = desk / "keys" / "north.pub", desk / "trust"
    return [
        "trust",
        "add",
        key,
        "--site",
        "north",
        "--fingerprint",
        digest_of(desk),
        "--trust",
        trust,
    ]


def revoke(desk: Path) -> list[object]:
    return ["trust", "revoke", digest_of(desk), "--why", "stolen", "--trust", desk / "trust"]


def killed_at_each(
    words: Callable[[Path], list[object]], killer: Killer, template: Path, desk: Path
) -> Iterator[Path]:
    """The folder after a kill before the first change, the second and so on, fresh each time."""
    for at in range(1, MOST_CHANGES):
        shutil.rmtree(desk, ignore_errors=True)
        shutil.copytree(template, desk)
        status = killer.run(words(desk), desk, at)
        if status != KILLED:
            assert status == 0
            return
        yield desk
    raise AssertionError(f"more than {MOST_CHANGES} changes")


def test_key_is_never_on_the_list_without_its_line(
    killer: Killer, desk: Path, tmp_path: Path
) -> None:
    kills = 0
    for left in killed_at_each(add, killer, desk, tmp_path / "desk"):
        entries = read_ledger(left / "trust-ledger.jsonl")
        listed = list((left / "trust").glob("*.pub"))
        if listed:
            assert [entry.digest for entry in entries if entry.act == TRUST] == [digest_of(left)]
        else:
            assert killer.run(add(left), left) == 0
        assert [trusted.fingerprint for trusted in load_trust(left / "trust").keys] == [
            digest_of(left)
        ]
        kills += 1
    assert kills >= 3


def test_revocation_is_whole_or_can_be_made_again(
    killer: Killer, desk: Path, tmp_path: Path
) -> None:
    trusting = shutil.copytree(desk, tmp_path / "trusting")
    assert killer.run(add(trusting), trusting) == 0
    kills = 0
    for left in killed_at_each(revoke, killer, trusting, tmp_path / "desk"):
        done = digest_of(left) in revoked_keys(read_ledger(left / "trust-ledger.jsonl"))
        assert killer.run(revoke(left), left) == (3 if done else 0)
        entries = read_ledger(left / "trust-ledger.jsonl")
        assert [entry.act for entry in entries] == [TRUST, REVOKE]
        kills += 1
    assert kills >= 2
