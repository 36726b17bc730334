"""Nothing is left running, however the block ends and whatever the processes started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator.flower.processes import Processes, together
from gdshare.errors import FederationError

# A server that ignores a polite request, with a child in a session of its own.
STUBBORN = "trap '' TERM; setsid sleep 300 & while true; do sleep 0.1; done"
PROGRAM = """
import os, sys, time
from pathlib import Path
from aggregator.flower import processes as module
module.TERMINATE_S = 0.5
with module.together() as processes:
    processes.start(["sh", "-c", {stubborn!r}], os.environ, Path({log!r}))
    time.sleep(0.5)
    print(processes.mark, flush=True)
    time.sleep(300)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregator.flower.processes.TERMINATE_S", 0.5)


def listen_to_ctrl_c() -> None:
    """A shell's background job, as tests may be, hands down SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def carriers(mark: str) -> list[int]:
    processes = Processes()
    processes.mark = mark
    return processes.pids()


def test_stubborn_servers_and_their_far_children_are_killed(tmp_path: Path) -> None:
    with together() as processes:
        processes.start(["sh", "-c", STUBBORN], os.environ, tmp_path / "log")
        wait_for(lambda: len(processes.pids()) >= 3)
    assert processes.pids() == []


def test_polite_servers_are_not_waited_for_longer_than_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.flower.processes.TERMINATE_S", 60.0)
    start = time.monotonic()
    with together() as processes:
        processes.start(["sleep", "300"], os.environ, tmp_path / "log")
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_program_ends_them_all(tmp_path: Path, number: signal.Signals) -> None:
    text = PROGRAM.format(stubborn=STUBBORN, log=str(tmp_path / "log"))
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - no threads in this test's process
    )
    assert program.stdout is not None
    mark = program.stdout.readline().strip()
    assert carriers(mark)
    program.send_signal(number)
    time.sleep(0.2)
    program.send_signal(number)  # an impatient second one changes nothing
    program.communicate(timeout=30)
    assert program.returncode != 0
    assert carriers(mark) == []


def test_one_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with together() as processes:
        processes.start(["sh", "-c", "exit 3"], os.environ, tmp_path / "north.log")
        with pytest.raises(FederationError, match=r"north\.log: this process ended with status 3"):
            wait_for(processes.require_alive)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with together():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
