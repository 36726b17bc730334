"""A node beside a fleet of the tests' own: in this process, or in one of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fleet_kit import Fleet
from process_kit import environment

from hospital_node.identity import Identity, drawn_key
from hospital_node.node import serve
from hospital_node.settings import NodeSettings
from hospital_node.superlink import Address, SuperLink


class EndOfTestError(Exception):
    pass


def run_node(fleet: Fleet, settings: NodeSettings, over: Callable[[], bool]) -> None:
    """Let a node run until a condition holds."""
    superlink = SuperLink(Address(fleet.address, None, None), identity(settings))
    end = time.monotonic() + 60

    def pause(seconds: float) -> None:
        if over() or time.monotonic() > end:
            raise EndOfTestError
        time.sleep(min(seconds, 0.05))

    with pytest.raises(EndOfTestError), superlink.connected():
        serve(superlink, settings, pause=pause)
    assert over()


def identity(settings: NodeSettings) -> Identity:
    return Identity(drawn_key(settings.state), settings.state)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; the test fails if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited in vain")
        time.sleep(0.05)


@contextmanager
def node_process(
    settings: Mapping[str, object], superlink: str, *options: str, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m hospital_node``, whose lines go to ``node.log``; killed with the block."""
    words = [
        f"{name} = {value if isinstance(value, int) else chr(34) + str(value) + chr(34)}"
        for name, value in settings.items()
    ]
    (folder / "node.toml").write_text("\n".join(words) + "\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "hospital_node", str(folder / "node.toml")]
    with (folder / "node.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--superlink", superlink, "--insecure", *options],
            env=environment(),
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for pid in (*answering(process.pid), process.pid):
            kill(pid)
        process.wait()


def lines(folder: Path) -> list[str]:
    """What the node said, without the times."""
    text = (folder / "node.log").read_text(encoding="utf-8")
    return [line[21:] for line in text.splitlines()]


def answering(node: int) -> list[int]:
    """The processes with which a node answers, stopped ones too."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"hospital_node.answer" in words and parent == node:
            found.append(int(process.name))
    return found


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def kill(pid: int) -> None:
    """Kill one process, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
