"""The ``gdshare`` command, run in the test's own process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from gdshare.cli.main import main


class Ended(NamedTuple):
    """A command's exit status and what it printed."""

    status: int
    out: str
    err: str


def gdshare(*words: object, check: bool = False) -> Ended:
    """Run ``gdshare WORDS``, with its output captured as in a pipe.

    Args:
        words: paths and numbers too.
        check: fail the test unless the command succeeds.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    ended = Ended(int(left.value.code or 0), out.getvalue(), err.getvalue())
    assert not check or not ended.status, ended.err
    return ended
