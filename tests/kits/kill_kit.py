"""Killing a command before each of its changes to a folder, one after another.

A small process imports gdshare once and forks for every command. In the child an audit hook (PEP
578) counts what Python is about to do to files under the folder (write-opens, renames, new folders,
removals, links) and sends itself SIGKILL before the n-th.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
KILLED = -signal.SIGKILL


class Killer:
    """The process that forks; ``start_killer`` starts it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, words: list[object], folder: Path, at: int | None = None) -> int:
        """Run ``gdshare WORDS`` and kill it before its ``at``-th change (from 1), or never.

        Returns:
            its exit status, ``KILLED`` if it came so far.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = {"words": [str(word) for word in words], "folder": str(folder), "at": at or 0}
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def start_killer() -> Iterator[Killer]:
    """Start it; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Killer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def _hook(folder: str, at: int) -> Any:
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        path = arguments[0] if arguments else None
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(folder):
            return
        changes = event in CHANGES or (event == "open" and bool(arguments[2] & WRITES))
        seen += changes
        if changes and seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def _child(told: dict[str, Any]) -> None:
    import traceback

    from gdshare.cli.main import main

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    sys.addaudithook(_hook(told["folder"], told["at"]))
    try:
        main(told["words"])
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _serve() -> None:
    from gdshare.cli.main import build_app

    build_app()  # whatever the commands import is imported once, before the first fork
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
