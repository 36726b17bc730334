"""A real SuperLink is killed and started again under a node, which comes back by itself."""

import os
import signal
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from node_kit import lines, node_process, until
from site_kit import make_bundle, write_files

from aggregator.flower.cli import FlowerCli, SuperLinkAddress, quiet_environment
from aggregator.flower.local_federation import free_ports
from aggregator.flower.processes import Processes, together
from gdshare.round_app import ROUND_APP
from gdshare.signing import new_key

ASKS = """
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    ask = [Message(RecordDict(), node, "query.collect") for node in grid.get_node_ids()]
    replies = list(grid.send_and_receive(ask, timeout=60))
    lines = [str(dict(reply.content["answer"])) for reply in replies]
    Path({answers!r} + ".aside").write_text("\\n".join(lines))
    Path({answers!r} + ".aside").rename({answers!r})
"""
"""An app that is not gdshare's: a node's answer to it needs no round."""


def start_superlink(processes: Processes, folder: Path, port: int, database: bool) -> int:
    """Start a SuperLink and wait for it; returns its process."""
    before = set(processes.pids())
    command = [
        str(Path(sysconfig.get_path("scripts")) / "flower-superlink"),
        *("--insecure", "--host", "127.0.0.1", "--port", str(port)),
        "--disable-runtime-dependency-installation",
        *(("--database", str(folder / "superlink.db")) if database else ()),
    ]
    environment = {
        **quiet_environment(folder / "home"),
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    }
    processes.start(command, environment, folder / "superlink.log")
    until(lambda: is_up(port), 120)
    return min(set(processes.pids()) - before)


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def answers_to(folder: Path, port: int) -> list[str]:
    """What the nodes answer to an app."""
    app, answers = folder / "app", folder / "answers"
    app.mkdir(exist_ok=True)
    answers.unlink(missing_ok=True)
    description = ROUND_APP.replace("aggregator.server_app", "asks")
    (app / "pyproject.toml").write_text(
        description.replace('"pyproject.toml"', '"**/*.py"'), encoding="utf-8"
    )
    (app / "asks.py").write_text(ASKS.format(answers=str(answers)), encoding="utf-8")
    (app / "hospital_node").mkdir(exist_ok=True)
    (app / "hospital_node" / "__init__.py").touch()
    (app / "hospital_node" / "client_app.py").write_text("app = None\n", encoding="utf-8")
    address = SuperLinkAddress(f"127.0.0.1:{port}", insecure=True)
    FlowerCli.connect(folder / "cli", address).start_run(app, {"out": ""})
    until(answers.exists, 90)
    return answers.read_text(encoding="utf-8").splitlines()


def numbers(folder: Path) -> list[str]:
    """Under which number the node was connected, each time."""
    return [
        line.rpartition(" ")[2] for line in lines(folder) if line.startswith("connected to 127")
    ]


def until_said(folder: Path, words: str, times: int) -> None:
    until(lambda: sum(words in line for line in lines(folder)) == times)


@pytest.mark.slow
@pytest.mark.parametrize("database", [True, False])
def test_a_superlink_that_was_killed_and_started_again_finds_its_node(
    tmp_path: Path, database: bool
) -> None:
    write_files(tmp_path / "outbox" / "north-1", make_bundle("north", new_key()))
    values = {"outbox": tmp_path / "outbox", "state": tmp_path / "state"}
    [port] = free_ports(1)
    refused = [str({"refused": "other-app"})]
    with together() as processes:
        superlink = start_superlink(processes, tmp_path, port, database)
        with node_process(values, f"127.0.0.1:{port}", folder=tmp_path) as node:
            until(lambda: numbers(tmp_path))
            assert answers_to(tmp_path, port) == refused
            for restarts in (1, 2):
                os.kill(superlink, signal.SIGKILL)
                until_said(tmp_path, "no SuperLink answers", restarts)
                superlink = start_superlink(processes, tmp_path, port, database)
                until_said(tmp_path, "connected again", restarts)
                assert answers_to(tmp_path, port) == refused
            assert node.poll() is None
            found = numbers(tmp_path)
            if database:
                assert len(set(found)) == 1, "it is the same node"
            else:
                assert len(set(found)) == 3, "each SuperLink gave it another number"
            # Killed and started again, it is the same node, and at once.
            node.kill()
            node.wait()
            began = time.monotonic()
            with node_process(values, f"127.0.0.1:{port}", folder=tmp_path):
                until(lambda: len(numbers(tmp_path)) == len(found) + 1)
                assert time.monotonic() - began < 30, "not after the minute for which it is listed"
                assert numbers(tmp_path)[-1] == found[-1]
                assert answers_to(tmp_path, port) == refused
