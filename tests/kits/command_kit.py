"""Runs the ``gdshare`` command in this process, with its output captured as in a pipe."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from gdshare.cli.main import main


@dataclass(frozen=True)
class Result:
    status: int
    stdout: str
    stderr: str


def gdshare(*words: object) -> Result:
    """Run a command; any exit status is a result."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return Result(int(ended.value.code or 0), out.getvalue(), err.getvalue())
