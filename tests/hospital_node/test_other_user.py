"""Two real users of one machine: what one can do to the node that the other runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_kit import Fleet, fleet_server, question
from process_kit import environment
from site_kit import make_bundle, write_files

from gdshare.signing import new_key

OWNER, OTHER = 61_001, 61_002
CURIOUS = """
import json, sys
from pathlib import Path

owner, state = int(sys.argv[1]), Path(sys.argv[2])

def read(path):
    try:
        return sorted(map(str, path.iterdir())) if path.is_dir() else path.read_bytes().decode()
    except PermissionError:
        return "denied"
    except OSError:  # not there yet, or no more
        return ""

own = [p for p in Path("/proc").glob("[0-9]*") if p.exists() and p.stat().st_uid == owner]
rows = [line.split() for name in ("tcp", "tcp6") for line in
        Path("/proc/net", name).read_text().splitlines()[1:]]
print(json.dumps({
    "state": read(state),
    "environments": [read(p / "environ") for p in own],
    "commands": [read(p / "cmdline").split("\\0") for p in own],
    "doors": [row[1] for row in rows if row[3] == "0A" and int(row[7]) == owner],
}))
"""


def pythons() -> list[str]:
    """This Python, and the system's if it is of the same version."""
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    return [sys.executable, *([system] if Path(system).exists() else [])]


def as_user(user: int, python: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [python, "-P", *words],
        env=environment(HOME="/nonexistent"),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
        group=user,
        extra_groups=[],
    )


def can_run(python: str) -> bool:
    try:
        with as_user(OTHER, python, "-c", "import flwr.app, hospital_node") as probe:
            return probe.wait(60) == 0
    except PermissionError:
        return False


@pytest.fixture
def python() -> str:
    """A Python that any user of this machine can run."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/proc/self/status").exists():
        pytest.skip("only root on Linux can act as two users")
    found = next(filter(can_run, pythons()), None)
    return found or pytest.skip("other users cannot run this Python")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the owner's that another user may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def test_another_user_finds_no_door_no_token_and_no_record(python: str, folder: Path) -> None:
    write_files(folder / "outbox" / "north-1", make_bundle("north", new_key()))
    os.chown(folder, OWNER, OWNER)
    settings = folder / "node.toml"
    settings.write_text(f'outbox = "{folder}/outbox"\nstate = "{folder}/state"\n', encoding="utf-8")
    with fleet_server(Fleet([question()])) as fleet:
        words = ("-m", "hospital_node", str(settings), "--superlink", fleet.address, "--insecure")
        node = as_user(OWNER, python, *words)
        try:
            end = time.monotonic() + 60
            seen = []
            while not fleet.answers and node.poll() is None and time.monotonic() < end:
                curious = as_user(OTHER, python, "-c", CURIOUS, str(OWNER), str(folder / "state"))
                seen.append(json.loads(curious.communicate(timeout=60)[0]))
        finally:
            node.send_signal(signal.SIGTERM)
            told, _ = node.communicate(timeout=30)
    assert "distilled.safetensors" in fleet.answers[0], told
    assert all(look["doors"] == [] for look in seen)
    assert {text for look in seen for text in look["environments"]} <= {"denied", ""}
    assert seen[-1]["state"] == "denied"
    commands = [" ".join(words) for look in seen for words in look["commands"]]
    assert any("hospital_node.answer" in command for command in commands), commands
    assert not [command for command in commands if "token" in command]
