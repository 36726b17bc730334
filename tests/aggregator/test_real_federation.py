"""One real federation: flower-superlink, three flower-supernodes, and an app that brings code."""

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from site_kit import make_bundle, make_cohort, manifest, of_head, write_files

from aggregator.flower.cli import FlowerCli, SuperLinkAddress
from aggregator.flower.local_federation import SiteNode, local_federation
from aggregator.flower.order import Order
from aggregator.flower.submit import run_round
from gdshare.errors import UsageError
from gdshare.logs import FILE_VARIABLE
from gdshare.model import load_model
from gdshare.round_app import ROUND_APP
from gdshare.signing import new_key, public_pem

SITES = ("east", "north", "west")
EVIL_CLIENT = """
from pathlib import Path
Path({mark!r}).write_text("the aggregator's code ran at a hospital")
from flwr.clientapp import ClientApp
app = ClientApp()
"""
EVIL_SERVER = """
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


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their images are for the last layer alone; the demo's federation trains all weights."""
    folder = tmp_path_factory.mktemp("hospitals")
    (folder / "trust").mkdir()
    now = datetime.now(UTC).replace(microsecond=0)
    for site in SITES:
        key = new_key()
        (folder / "trust" / f"{site}.pub").write_bytes(public_pem(key.public_key()))
        files = make_bundle(site, key, manifest(site, now, **of_head()))
        write_files(folder / site / "outbox" / f"{site}-1", files)
    make_cohort(folder / "films")
    return folder


@pytest.fixture(scope="module")
def superlink(hospitals: Path) -> Iterator[SuperLinkAddress]:
    cohort = hospitals / "films" / "cohort"
    nodes = [
        SiteNode(site, hospitals / site / "outbox", cohort, hospitals / "trust", 4, 1)
        for site in SITES
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FILE_VARIABLE, str(hospitals / "both-sides.log"))
        with local_federation(nodes, hospitals / "federation") as address:
            yield address
    assert left_over(hospitals) == [], "processes of the federation are still running"


def left_over(hospitals: Path) -> list[str]:
    """Command lines of live processes that have this test's folder in words or environment."""
    time.sleep(0.5)
    commands: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(hospitals).encode() in words and process.name != str(os.getpid()):
            commands.append(words[:200].decode(errors="replace"))
    return commands


def test_a_round_over_real_processes(
    hospitals: Path, superlink: SuperLinkAddress, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aggregator")
    order = Order(
        trust=hospitals / "trust",
        ledger=hospitals / "ledger.jsonl",
        operator="tests",
        sites=3,
        timeout=120,
    )
    table = run_round(superlink, hospitals / "out", order)

    assert all(site in table for site in SITES)
    assert "with 1 convnet, trained on 3 bundles" in table
    assert caplog.messages[0] == "3 of 3 nodes are connected"
    assert caplog.messages[-1] == "counted test films of 3 sites"
    log = (hospitals / "both-sides.log").read_text(encoding="utf-8")
    assert "Z INFO aggregator.round: counted test films of 3 sites\n" in log
    assert len(re.findall(r"Z INFO hospital_node.outbox: [a-z0-9-]+: handed over ", log)) == 3
    assert set(load_model(hospitals / "out" / "model")[1].origin["bundles"]) == set(SITES)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds a round already"):
        run_round(superlink, hospitals / "out", order)


def test_code_in_the_app_does_not_run_at_a_hospital(
    hospitals: Path, superlink: SuperLinkAddress
) -> None:
    app = hospitals / "evil"
    (app / "hospital_node").mkdir(parents=True)
    mark, answers = hospitals / "ran", hospitals / "answers"
    server = ROUND_APP.replace("aggregator.server_app", "evil_server")
    (app / "pyproject.toml").write_text(
        server.replace('"pyproject.toml"', '"**/*.py"'), encoding="utf-8"
    )
    (app / "evil_server.py").write_text(EVIL_SERVER.format(answers=str(answers)), encoding="utf-8")
    (app / "hospital_node" / "__init__.py").touch()
    (app / "hospital_node" / "client_app.py").write_text(
        EVIL_CLIENT.format(mark=str(mark)), encoding="utf-8"
    )

    cli = FlowerCli.connect(hospitals / "evil-home", superlink)
    cli.start_run(app, {"out": ""})
    end = time.monotonic() + 90
    while not answers.exists() and time.monotonic() < end:
        time.sleep(0.2)

    told = answers.read_text(encoding="utf-8").splitlines()
    assert told == [str({"refused": "other-app"})] * 3
    assert not mark.exists()
    unpacked = [path for site in SITES for path in (hospitals / "federation" / site).rglob("apps")]
    assert unpacked == [], "a node unpacked the app"
