"""Start this hospital's SuperNode: ``python -m hospital_node SETTINGS.toml --superlink HOST:PORT``.

Becomes ``flower-supernode`` itself (same process id), with the settings as its node configuration
and with a search path on which Flower finds the guarded runner in place of its own app runner, and
a refusal in place of its runners for other kinds of apps.
"""

import argparse
import os
import shlex
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path

from gdshare.errors import GdshareError, UsageError
from gdshare.escaping import Parser, escaped
from gdshare.logs import FILE_VARIABLE, LEVEL_VARIABLE, LEVELS, start_logging_from
from hospital_node.settings import NodeSettings

REFUSED_RUNNERS = (
    "flwr-agentapp",
    "flwr-connector",
    "flwr-model",
    "flwr-serverapp",
    "flwr-simulation",
)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the settings, write the guarded runners, and become ``flower-supernode``."""
    options, flower_options = _parser().parse_known_args(arguments)
    try:
        log_variables = _log_variables(options)
        start_logging_from(os.environ | log_variables)
        settings = read_settings(options.settings)
        flower = settings.state / "flower"
        runners = write_runners(flower)
        own = _flower_options(options)
        command = [str(_script("flower-supernode")), *own, *flower_options]
    except GdshareError as error:
        sys.exit(escaped(error))
    environment = {
        **os.environ,
        **log_variables,
        "PATH": f"{runners}:{SYSTEM_PATH}",
        "FLWR_HOME": str(flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    os.execve(command[0], command, environment)  # noqa: S606 - fixed words, no shell wanted


def read_settings(path: Path) -> NodeSettings:
    """Read the node's settings file.

    Raises:
        UsageError: not readable, not TOML, or not settings.
    """
    if path.suffix != ".toml":
        raise UsageError("Flower takes settings only from a name in .toml", path, "rename it")
    try:
        return NodeSettings.from_mapping(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"not a readable TOML file ({error})", path, "check it") from error


def write_runners(flower: Path) -> Path:
    """Write the commands that SuperNode may find, and return their folder.

    Raises:
        UsageError: Flower's own commands are not installed beside this Python.
    """
    folder = flower / "bin"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    python = shlex.quote(sys.executable)
    _write_runner(folder / "flwr-clientapp", f'exec {python} -P -m hospital_node.guard "$@"')
    executor = shlex.quote(str(_script("flower-superexec")))
    _write_runner(folder / "flower-superexec", f'exec {executor} "$@"')
    for name in REFUSED_RUNNERS:
        _write_runner(folder / name, f"echo 'a hospital node runs no {name}' >&2; exit 1")
    return folder


def _write_runner(path: Path, line: str) -> None:
    path.write_bytes(os.fsencode(f"#!/bin/sh\n{line}\n"))  # paths as the system spells them
    path.chmod(0o700)


def _script(name: str) -> Path:
    script = Path(sysconfig.get_path("scripts")) / name
    if not script.exists():
        raise UsageError("is missing", script, "pip install 'gdshare[federation]'")
    return script


def _flower_options(options: argparse.Namespace) -> list[str]:
    secure = ["--insecure"] if options.insecure else []
    return [*secure, "--superlink", options.superlink, "--node-config", str(options.settings)]


def _log_variables(options: argparse.Namespace) -> dict[str, str]:
    """The options of the log as environment variables: the processes that answer inherit them."""
    variables = {}
    if options.log_level is not None:
        variables[LEVEL_VARIABLE] = options.log_level
    if options.log_file is not None:
        variables[FILE_VARIABLE] = str(options.log_file.absolute())
    return variables


def _parser() -> Parser:
    parser = Parser(
        prog="python -m hospital_node",
        description="Connect this hospital to a round, running only the code installed here.",
        epilog="Further options go to flower-supernode, such as --root-certificates and "
        "--auth-supernode-private-key.",
    )
    parser.add_argument("settings", type=Path, help="the node's settings, a .toml file")
    parser.add_argument("--superlink", required=True, metavar="HOST:PORT", help="the aggregator's")
    parser.add_argument("--insecure", action="store_true", help="no TLS; on one machine only")
    parser.add_argument("--log-level", choices=LEVELS, help="what is printed and logged")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="file to append the log to")
    return parser


if __name__ == "__main__":
    main()
