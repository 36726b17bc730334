"""``gdshare status``: who is doing what in a round, since when."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from aggregator.flower.folder import RECORD
from aggregator.flower.submit import is_running
from aggregator.record import NodeState, RoundRecord, Stage, read_record
from gdshare.cli.terminal import AsJson, print_json, print_line, print_table
from gdshare.signing.names import format_utc

WATCH_S = 2.0


def status(
    folder: Annotated[Path, typer.Argument(metavar="ROUND", help="The --out of a round.")],
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Again at each change, until the round is over or stops."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a round's stage, and what each hospital is doing: since when, and how far it is.

    Reads the round's record only; it asks nobody.
    """
    shown = ""
    while True:
        with read_record(folder / RECORD) as record:
            state = state_of(record, is_running(folder))
        if json.dumps(state) != shown:
            shown = json.dumps(state)
            if as_json:
                print_json(state)
            else:
                _print(state, datetime.now(UTC))
        if not watch or not state["running"]:
            return
        time.sleep(WATCH_S)


def state_of(record: RoundRecord, running: bool) -> dict[str, JsonValue]:
    """The round as plain data: its stage, whether a process is at work, and its nodes."""
    history = record.history()
    return {
        "stage": record.stage.value,
        "since": format_utc(history[-1][1]) if history else None,
        "running": running,
        "history": [{"stage": stage.value, "at": format_utc(at)} for stage, at in history],
        "nodes": [_node(state) for state in record.nodes()],
    }


def _node(state: NodeState) -> JsonValue:
    return {
        "node": str(state.node),
        "site": state.site or None,
        "doing": state.doing,
        "done": state.done,
        "total": state.total or None,
        "since": format_utc(state.since),
    }


def _print(state: dict[str, JsonValue], now: datetime) -> None:
    stage, nodes = state["stage"], state["nodes"]
    over = stage == Stage.CLOSED
    if over or state["running"]:
        ending = ""
    else:
        ending = "; nobody is at work on it: gdshare aggregate --resume goes on"
    print_line(f"{stage} since {state['since'] or 'just now'}{ending}")
    rows = [_cells(node, now) for node in nodes if isinstance(node, dict)] if nodes else []  # type: ignore[union-attr]
    print_table(f"at {format_utc(now)}", ("hospital", "doing", "since"), rows)


def _cells(node: dict[str, JsonValue], now: datetime) -> Sequence[str]:
    doing = str(node["doing"])
    if doing == "counting":
        doing = f"counting film {node['done']} of {node['total'] or 'its films'}"
    elif doing == "fetching":
        doing = "transferring"
    since = datetime.fromisoformat(str(node["since"]))
    return str(node["site"] or f"node {node['node']}"), doing, _ago(now - since)


def _ago(age: object) -> str:
    return str(age).partition(".")[0]


def register(app: typer.Typer) -> None:
    """Add the command to ``gdshare``."""
    app.command()(status)
