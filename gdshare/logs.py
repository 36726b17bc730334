"""Standard logging for every command and both Flower sides.

Every module logs to ``logging.getLogger(__name__)``. What people read on the terminal is printed
from there: the message alone, on stderr. A log file gets the same lines with time (UTC, ISO 8601),
level and module, and the traceback of a fault in gdshare itself::

    2026-01-31T12:00:00Z INFO aggregator.round: collected 3 bundles

No passphrase, key or pixel is ever logged; a message may name files and, at a hospital, patients.
A record is a single line: what it quotes is escaped, and a traceback is indented below it.
"""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from gdshare.errors import UsageError
from gdshare.escaping import escaped, escaped_traceback

PACKAGES: Final = ("gdshare", "hospital_node", "aggregator")
FLOWER: Final = "flwr"
LEVELS: Final = ("debug", "info", "warning", "error")
LEVEL_VARIABLE: Final = "GDSHARE_LOG_LEVEL"
FILE_VARIABLE: Final = "GDSHARE_LOG_FILE"
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineFormatter(logging.Formatter):
    """One line for a record, escaped, and an indented traceback if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape the message, which may quote anything; leaves the record as it is."""
        line = logging.makeLogRecord(record.__dict__)
        line.msg, line.args, line.exc_text = escaped(record.getMessage()), None, None
        return super().format(line)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802
        """Indented, so that no line of it passes for another record."""
        return "" if ei[1] is None else escaped_traceback(ei[1])

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """UTC, ISO 8601."""
        return f"{datetime.fromtimestamp(record.created, UTC):{datefmt or '%Y-%m-%dT%H:%M:%SZ'}}"


class TerminalHandler(logging.Handler):
    """Print messages for people on stderr, as ``sys.stderr`` is at that moment."""

    def __init__(self, level: int = logging.NOTSET, dated: bool = False) -> None:
        """Print the message alone, or after its time (UTC) if ``dated``."""
        super().__init__(level)
        self._dated = dated
        self.setFormatter(LineFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Errors are marked as gdshare's, since other programs print beside it."""
        try:
            line = logging.makeLogRecord(record.__dict__)
            if getattr(record, "without_traceback", False):
                line.exc_info = None
            ours = record.name.partition(".")[0] in PACKAGES
            prefix = "gdshare: " if ours and record.levelno >= logging.ERROR else ""
            if self._dated:
                prefix = f"{LineFormatter().formatTime(record)} {prefix}"
            print(f"{prefix}{self.format(line)}", file=sys.stderr, flush=True)  # noqa: T201
        except Exception:
            self.handleError(record)


class _EscapeMessages(logging.Filter):
    """Escape what another program's logger is about to print its own way.

    Flower prints our errors, with what they quote. Its messages may have several lines.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = escaped(record.getMessage(), keep="\n"), None
        if record.exc_info and record.exc_info[1]:
            record.exc_text = escaped_traceback(record.exc_info[1])
        return True


class LogFileHandler(logging.FileHandler):
    """Append lines with time, level and module to a file; one that is made is its owner's alone.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Make the file if it is missing."""
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(
                f"the log cannot be written ({error.strerror})", path, "choose another --log-file"
            ) from error
        self.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


_escape_messages = _EscapeMessages()


def start_logging(level: str = "info", file: Path | None = None, dated: bool = False) -> None:
    """Send the log to the terminal, and to a file if there is one; replaces an earlier call's.

    Args:
        level: the least level that is shown, one of ``LEVELS``.
        file: appended to; made, mode 600, if missing.
        dated: whether lines on the terminal begin with their time, for what runs for weeks.

    Raises:
        UsageError: an unknown level, or a file that cannot be written.
    """
    if level not in LEVELS:
        raise UsageError(
            f"there is no log level {level!r:.20}", remedy=f"choose one of {', '.join(LEVELS)}"
        )
    handlers: list[logging.Handler] = [TerminalHandler(dated=dated)]
    if file is not None:
        handlers.append(LogFileHandler(file))
    for name in PACKAGES:
        logger = logging.getLogger(name)
        for handler in [*logger.handlers]:
            if isinstance(handler, (TerminalHandler, LogFileHandler)):
                logger.removeHandler(handler)
                handler.close()
        for handler in handlers:
            logger.addHandler(handler)
        logger.setLevel(level.upper())
    logging.getLogger(FLOWER).addFilter(_escape_messages)
    logging.lastResort = TerminalHandler(logging.WARNING)  # other libraries' warnings
    warnings.formatwarning = _format_warning


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"{escaped(f'{filename}:{lineno}: {category.__name__}: {message}')}\n"


def start_logging_from(environment: Mapping[str, str], dated: bool = False) -> None:
    """``start_logging`` as ``GDSHARE_LOG_LEVEL`` and ``GDSHARE_LOG_FILE`` say.

    Raises:
        UsageError: as ``start_logging``.
    """
    file = environment.get(FILE_VARIABLE)
    start_logging(environment.get(LEVEL_VARIABLE) or "info", Path(file) if file else None, dated)
