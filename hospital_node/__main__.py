"""Connects this hospital to rounds: ``python -m hospital_node node.toml --superlink HOST:PORT``.

Runs until it is told to end, opens no port, and answers the three questions of gdshare's
rounds. It never ends because the SuperLink is away or refuses it: it says why, tries again
for ever, and says that it is connected again. What keeps it from starting is one sentence, and a
status:

====  ==========================================================================
0     told to end (Ctrl-C, SIGTERM)
2     something here: an option, the settings, the key, a certificate
4     the other side: away for longer than ``--max-wait-time``
70    a fault in gdshare itself
====  ==========================================================================
"""

import argparse
import logging
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from gdshare.errors import FederationError, GdshareError, UsageError
from gdshare.escaping import Parser
from gdshare.flower import flower_environment, require_flower, unknown_flower
from gdshare.idle_threads import let_threads_sleep
from gdshare.lock import lock
from gdshare.logs import (
    FILE_VARIABLE,
    LEVEL_VARIABLE,
    LEVELS,
    start_logging,
    start_logging_from,
)
from gdshare.plain_files import read_plain
from hospital_node.settings import NodeSettings

ENDED, MISCONFIGURED, OTHER_SIDE, FAULT = 0, 2, 4, 70
LOCK: Final = ".node.lock"
MAX_SETTINGS_BYTES: Final = 64 * 1024

log = logging.getLogger("hospital_node")  # __name__ is "__main__" here


def main(arguments: Sequence[str] | None = None, name: str = "python -m hospital_node") -> None:
    """Start the node, and exit with a status; ``name`` is the command's."""
    let_threads_sleep()
    start_logging()  # for errors in the log options themselves
    try:
        _run(_parser(name).parse_args(arguments))
    except KeyboardInterrupt:
        log.info("ended")
        sys.exit(ENDED)
    except FederationError as error:
        log.error("%s", error)
        sys.exit(OTHER_SIDE)
    except GdshareError as error:
        log.error("%s", error)
        sys.exit(MISCONFIGURED)
    except OSError as error:
        log.error("%s: %s", error.filename or "the system", error.strerror)
        sys.exit(MISCONFIGURED)
    except Exception as error:
        log.exception("a fault in gdshare itself (%s: %s)", type(error).__name__, error)
        sys.exit(FAULT)


def _run(options: argparse.Namespace) -> None:
    os.environ.update(_log_variables(options))
    start_logging_from(os.environ)
    require_flower()
    settings = read_settings(options.settings)
    os.environ.update(flower_environment())
    try:  # here: Flower takes seconds to load, and reads its environment then
        from hospital_node.address import address_of  # noqa: PLC0415
        from hospital_node.identity import Identity, drawn_key  # noqa: PLC0415
        from hospital_node.node import serve  # noqa: PLC0415
        from hospital_node.superlink import SuperLink  # noqa: PLC0415
    except ImportError as error:
        raise unknown_flower(str(error)) from error

    address = address_of(options)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    signal.signal(signal.SIGTERM, _end)
    with lock(settings.state / LOCK, timeout_s=0):
        _warn_of_what_is_missing(settings)
        start_logging_from(os.environ, dated=True)
        identity = Identity(address.key or drawn_key(settings.state), settings.state)
        superlink = SuperLink(address, identity)
        with superlink.connected():
            serve(superlink, settings, options.max_wait_time)


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def read_settings(path: Path) -> NodeSettings:
    """Read the node's settings file.

    Raises:
        UsageError: not readable, not TOML, or not settings.
    """
    try:
        text = read_plain(path, MAX_SETTINGS_BYTES).decode()
        return NodeSettings.from_mapping(tomllib.loads(text))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", path, "check the path") from error
    except ValueError as error:
        raise UsageError(f"not a readable TOML file ({error})", path, "check it") from error
    except UsageError as error:
        raise error.at(path) from error


def _warn_of_what_is_missing(settings: NodeSettings) -> None:
    for what, path in (("outbox", settings.outbox), ("cohort", settings.cohort)):
        if path is not None and not path.is_dir():
            log.warning("%s: there is no such folder; %s in the node's settings", path, what)


def _log_variables(options: argparse.Namespace) -> dict[str, str]:
    """The options of the log as environment variables: the processes that answer inherit them."""
    variables = {}
    if options.log_level is not None:
        variables[LEVEL_VARIABLE] = options.log_level
    if options.log_file is not None:
        variables[FILE_VARIABLE] = str(options.log_file.absolute())
    return variables


def _parser(name: str = "python -m hospital_node") -> Parser:
    parser = Parser(
        prog=name,
        description="Connect this hospital to a round, running only the code installed here.",
        allow_abbrev=False,
    )
    parser.add_argument("settings", type=Path, help="the node's settings, a .toml file")
    parser.add_argument("--superlink", required=True, metavar="HOST:PORT", help="the aggregator's")
    parser.add_argument("--insecure", action="store_true", help="no TLS; on one machine only")
    parser.add_argument(
        "--root-certificates",
        type=Path,
        metavar="FILE",
        help="PEM of the authority behind the SuperLink's certificate; without it, the system's",
    )
    parser.add_argument(
        "--client-certificate",
        type=Path,
        metavar="FILE",
        help="PEM of this hospital's certificate, which the aggregator's nginx wants to see",
    )
    parser.add_argument("--client-key", type=Path, metavar="FILE", help="PEM of its key")
    parser.add_argument(
        "--auth-supernode-private-key",
        type=Path,
        metavar="FILE",
        help="the node's key, whose .pub the aggregator registered",
    )
    parser.add_argument(
        "--max-wait-time",
        type=float,
        metavar="SECONDS",
        help="how long to try while the SuperLink is away (default: for ever)",
    )
    parser.add_argument("--log-level", choices=LEVELS, help="what is printed and logged")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="file to append the log to")
    return parser


if __name__ == "__main__":
    main()
