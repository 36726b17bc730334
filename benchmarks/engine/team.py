"""The other end of ``worker``: start rivals in processes of their own and give them orders."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.engine.worker import Job, Order, Report
from gdshare.errors import RunError

ROOT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
LAST_WORDS = 2000


def run_alone(command: Sequence[str]) -> None:
    """Run a command on one thread, in the checkout, until it ends; what it prints is dropped.

    Raises:
        RunError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        words = done.stderr[-LAST_WORDS:].strip()
        raise RunError(f"{' '.join(command)}: ended with status {done.returncode}: {words}")


class Worker:
    """A rival in a process of its own, with one thread, for as long as the ``with`` block."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the process and wait until the rival is ready.

        Raises:
            RunError: it could not be made so.
        """
        with ExitStack() as stack:
            # A file and not a pipe: nobody reads while the worker writes, and a pipe would fill.
            self._errors = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.engine.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                cwd=ROOT,
                env=os.environ | ONE_THREAD,
            )
            stack.callback(self._end)
            self._ask(self._job.model_dump_json())
            self._stack = stack.pop_all()
        return self

    def step(self) -> Report:
        """One training step."""
        return self._report(Order(do="step"))

    def gradient(self, to: Path) -> Report:
        """The meta-gradient, written to a safetensors file."""
        return self._report(Order(do="gradient", to=to))

    def _report(self, order: Order) -> Report:
        return Report.model_validate_json(self._ask(order.model_dump_json()))

    def _ask(self, line: str) -> str:
        """Send a line and wait for the answer.

        Raises:
            RunError: the worker ended instead.
        """
        orders, answers = self._process.stdin, self._process.stdout
        if orders is None or answers is None:
            raise RunError(f"rival {self._job.rival}: its process has no pipes; start it again")
        with suppress(BrokenPipeError):  # it has ended; its last words say why
            orders.write(line + "\n")
            orders.flush()
        answer = answers.readline()
        if not answer:
            status = self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace")[-LAST_WORDS:].strip()
            raise RunError(
                f"rival {self._job.rival}: its process ended with status {status}; its last words "
                f"were:\n{words}"
            )
        return answer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the worker: it has nothing to save."""
        self._stack.close()

    def _end(self) -> None:
        self._process.kill()
        with suppress(BrokenPipeError):  # an order that it never read
            self._process.communicate()
