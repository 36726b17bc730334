"""``hospital_node``, with its options, whose answering process waits for its turn on this machine.

The folder of the turns stands in ``GDSHARE_TURNS``, and how many there are in ``GDSHARE_AT_ONCE``.
With ``GDSHARE_WARM``, the socket of ``warm``, it is forked from a process that has loaded torch.
All else is the node that hospitals run: a hundred of them wait side by side, and a hundred
processes with torch in memory would not.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks.many_nodes.turns import turn
from hospital_node import __main__ as node
from hospital_node import apart, desk

TURNS, AT_ONCE, WARM = "GDSHARE_TURNS", "GDSHARE_AT_ONCE", "GDSHARE_WARM"
CLIENT = Path(__file__).with_name("warm_client.py")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_turn(
    call: Callable[Arguments, Result], folder: Path, most: int
) -> Callable[Arguments, Result]:
    """A function that waits for its turn, then does what ``call`` does."""

    def waiting(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with turn(folder, most):
            return call(*arguments, **named)

    return waiting


def main() -> None:
    """Run the node."""
    folder, most = Path(os.environ[TURNS]), int(os.environ[AT_ONCE])
    desk.answer_apart = in_turn(apart.answer_apart, folder, most)  # type: ignore[attr-defined]
    if warm := os.environ.get(WARM):
        words = (sys.executable, "-I", "-S", str(CLIENT), warm)
        apart.COMMAND = words  # type: ignore[assignment]
    node.main()


if __name__ == "__main__":
    main()
