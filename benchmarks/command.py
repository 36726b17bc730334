"""What the commands of all benchmarks have in common: options, faults, and figures as JSON."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.versions import versions
from gdshare.errors import GdshareError
from gdshare.storage import write_json


def parser(name: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """The command line of one benchmark, with ``--quick`` and ``--json``.

    Args:
        name: as it is imported, ``benchmarks.NAME``.
        description: the docstring of its command.
        quick: help of ``--quick``.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--json", type=Path, help="write the figures here as well")
    return made


def add_archive(made: argparse.ArgumentParser) -> None:
    """The option ``--archive`` of a benchmark whose pieces take hours."""
    made.add_argument(
        "--archive",
        type=Path,
        help="a small folder: pieces whose figures are in it are not done again, and the figures "
        "of finished ones are kept in it; it holds no patch, image, weight, name or diagnosis",
    )


def say(line: str) -> None:
    """Tell a person how far things are; not among the figures."""
    print(line, file=sys.stderr, flush=True)


def write_figures(path: Path | None, name: str, figures: Mapping[str, object]) -> None:
    """Write a benchmark's figures with the date, the command, and what they depend on.

    Args:
        path: where to; None: nowhere.
        name: of the benchmark, as it is imported.
        figures: plain data.
    """
    if path is not None:
        depends = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(["python", "-m", name, *sys.argv[1:]]),
            "versions": versions(),
        }
        write_json(path, depends | dict(figures))


@contextmanager
def faults_told(goes_on: bool = False) -> Iterator[None]:
    """End the process with one sentence where the block fails in a way that is known, or by Ctrl-C.

    Args:
        goes_on: whether the same command takes up what was done.

    Raises:
        SystemExit: it did.
    """
    try:
        yield
    except GdshareError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on" if goes_on else "stopped")
