"""A lock keeps others out for a while, says who holds it, and does not outlive its holder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gdshare.errors import LockedError
from gdshare.lock import lock, lock_beside

HOLDER = """
import sys, time
from pathlib import Path
from gdshare.lock import lock
with lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def holder(tmp_path: Path):
    words = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_second_process_is_refused_and_learns_who_holds_the_lock(holder, tmp_path):
    refused = pytest.raises(LockedError, match=rf"process {holder.pid} of \S+ on \S+, since 20")
    with refused, lock(tmp_path / "lock", timeout_s=0.2):
        pytest.fail("two at once")


def test_kill_leaves_no_lock_behind(holder, tmp_path):
    holder.kill()
    holder.wait()
    with lock(tmp_path / "lock", timeout_s=0):
        pass


def test_lock_is_free_again_after_its_block(tmp_path):
    for _ in range(2):
        with lock(tmp_path / "lock", timeout_s=0):
            pass


def test_lock_file_is_for_its_owner_alone_and_names_the_last_holder(tmp_path):
    path = lock_beside(tmp_path / "outbox-ledger.jsonl")
    with lock(path):
        assert path == tmp_path / ".outbox-ledger.jsonl.lock"
        assert path.stat().st_mode & 0o777 == 0o600
        assert f"process {os.getpid()} " in path.read_text("utf-8")


def test_what_another_wrote_into_the_lock_file_cannot_steer_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr("gdshare.lock._myself", lambda: "\x1b[2J\nnobody")
    with lock(tmp_path / "lock"):
        refused = pytest.raises(LockedError, match=r"locked by  \[2J nobody")
        with refused, lock(tmp_path / "lock", timeout_s=0.1):
            pytest.fail("two at once")


def test_lock_in_a_folder_that_is_not_there_makes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), lock(tmp_path / "typo" / ".lock"):
        pytest.fail("locked nothing")
    assert not list(tmp_path.iterdir())


def test_lock_path_that_leads_to_another_file_overwrites_nothing(tmp_path):
    letter = tmp_path / "letter"
    letter.write_text("dear colleague", encoding="utf-8")
    (tmp_path / "lock").symlink_to(letter)
    with pytest.raises(OSError, match=r"."), lock(tmp_path / "lock", timeout_s=0):
        pytest.fail("locked another's file")
    assert letter.read_text("utf-8") == "dear colleague"
