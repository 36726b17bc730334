"""The node's log: on stderr as it is, and in a file with times and levels."""

import argparse
import logging
import sys
import time
from pathlib import Path

from gdshare.errors import UsageError

LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LEVEL = "warning"
LOGGERS = ("hospital_node", "gdshare")


def log_options() -> argparse.ArgumentParser:
    """The options ``--log-level`` and ``--log-file``, as a parent of a command's own."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument(
        "--log-level",
        choices=LEVELS,
        default=DEFAULT_LEVEL,
        help=f"what to log at least (default {DEFAULT_LEVEL})",
    )
    options.add_argument("--log-file", type=Path, metavar="FILE", help="add the log to this file")
    return options


def log_arguments(level: str, path: Path | None) -> list[str]:
    """The options as arguments of another command, which may run in another folder."""
    file = [] if path is None else ["--log-file", str(path.absolute())]
    return ["--log-level", level, *file]


def start_log(level: str, path: Path | None) -> None:
    """Log to stderr and, with times (UTC, ISO 8601) and levels, to a file.

    Raises:
        UsageError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        formatter = logging.Formatter(
            "%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ"
        )
        formatter.converter = time.gmtime
        try:
            handlers.append(logging.FileHandler(path, encoding="utf-8"))
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})", path, "choose another"
            ) from error
        handlers[-1].setFormatter(formatter)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(level.upper())
        logger.handlers[:] = handlers
