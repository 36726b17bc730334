"""Start this hospital's SuperNode: ``python -m hospital_node SETTINGS.toml --superlink HOST:PORT``.

Becomes ``flower-supernode`` itself (same process id), with the settings as its node configuration
and with a search path on which Flower finds, in place of its app runner, the guarded one, and in
place of its runners for other kinds of apps, a refusal.
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
    """Read the settings, lay out the guarded runners, and become ``flower-supernode``."""
    parsed, further = _parser().parse_known_args(arguments)
    try:
        settings = read_settings(parsed.settings)
        flower = settings.state / "flower"
        runners = lay_out_runners(flower)
        command = [str(_script("flower-supernode")), *_flower_options(parsed), *further]
    except GdshareError as error:
        sys.exit(str(error))
    environment = {
        **os.environ,
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


def lay_out_runners(flower: Path) -> Path:
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
        raise UsageError("not there", script, "pip install 'gdshare[federation]'")
    return script


def _flower_options(parsed: argparse.Namespace) -> list[str]:
    secure = ["--insecure"] if parsed.insecure else []
    return [*secure, "--superlink", parsed.superlink, "--node-config", str(parsed.settings)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hospital_node",
        description="Connect this hospital to a round, running only the code installed here.",
        epilog="Further options go to flower-supernode, such as --root-certificates and "
        "--auth-supernode-private-key.",
    )
    parser.add_argument("settings", type=Path, help="the node's settings, a .toml file")
    parser.add_argument("--superlink", required=True, metavar="HOST:PORT", help="the aggregator's")
    parser.add_argument("--insecure", action="store_true", help="no TLS; on one machine only")
    return parser


if __name__ == "__main__":
    main()
