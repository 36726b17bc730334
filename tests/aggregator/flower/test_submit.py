"""Following a round through the files its ServerApp writes; Flower's commands are faked."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from grid_kit import MemoryGrid, context
from typer.testing import CliRunner

from aggregator import aggregate_command
from aggregator.flower import submit
from aggregator.flower.cli import FlowerCli, SuperLinkAddress
from aggregator.flower.local_federation import free_ports
from aggregator.flower.order import Order, read_order, write_order
from aggregator.flower.submit import resume_round, run_round
from aggregator.server_app import app as server_app
from gdshare.errors import FederationError, UsageError

HERE = SuperLinkAddress("127.0.0.1:1", insecure=True)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(
        trust=tmp_path / "trust", ledger=tmp_path / "ledger.jsonl", operator="tests", wait=0.1
    )


@pytest.fixture
def flower(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Make the submitted run write files; returns the list of runs that were stopped."""

    def stand_in(status: str = "running", **files: str) -> list[str]:
        stopped: list[str] = []

        def start(_: FlowerCli, app: Path, config: dict[str, str]) -> str:
            assert [path.name for path in app.iterdir()] == ["pyproject.toml"]
            for name, text in files.items():
                (Path(config["out"]) / name.replace("_", ".")).write_text(text, encoding="utf-8")
            return "7"

        monkeypatch.setattr(FlowerCli, "start_run", start)
        monkeypatch.setattr(FlowerCli, "status", lambda *_: (status, "killed"))
        monkeypatch.setattr(FlowerCli, "stop_run", lambda _, run: stopped.append(run))
        monkeypatch.setattr(submit, "STATUS_POLL_S", 0.1)
        monkeypatch.setattr(submit, "POLL_S", 0.05)
        return stopped

    return stand_in


def test_logs_the_steps_and_returns_the_table(
    tmp_path: Path,
    order: Order,
    flower: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "aggregator")
    flower(progress_txt="one\ntwo\n", table_txt="the table\n", round_json="{}")
    assert run_round(HERE, tmp_path / "out", order) == "the table\n"
    assert caplog.messages == ["one", "two"]
    assert read_order(tmp_path / "out") == order


def test_a_failure_over_there_is_an_error_here(
    tmp_path: Path, order: Order, flower: Callable[..., list[str]]
) -> None:
    stopped = flower(failure_txt="no bundle was admitted")
    with pytest.raises(FederationError, match="no bundle was admitted"):
        run_round(HERE, tmp_path / "out", order)
    assert stopped == ["7"]


def test_a_run_that_dies_without_a_word_is_noticed(
    tmp_path: Path, order: Order, flower: Callable[..., list[str]]
) -> None:
    flower("finished:failed")
    with pytest.raises(FederationError, match=r"without results \(finished:failed: killed\)"):
        run_round(HERE, tmp_path / "out", order)


def test_results_are_never_overwritten(
    tmp_path: Path, order: Order, flower: Callable[..., list[str]]
) -> None:
    flower(table_txt="", round_json="{}")
    run_round(HERE, tmp_path / "out", order)
    with pytest.raises(UsageError, match="holds a round already"):
        run_round(HERE, tmp_path / "out", order)


def test_no_superlink_there_is_an_error_and_can_be_tried_again(
    tmp_path: Path, order: Order
) -> None:
    nobody = SuperLinkAddress(f"127.0.0.1:{free_ports(1)[0]}", insecure=True)
    for _ in range(2):
        with pytest.raises(FederationError, match=r"flwr run: .*SuperLink"):
            run_round(nobody, tmp_path / "out", order)


def test_the_server_app_writes_its_failure(tmp_path: Path, order: Order) -> None:
    run = context({})
    run.run_config = {"out": str(tmp_path)}
    with pytest.raises(FederationError, match="no readable order"):
        server_app(MemoryGrid({}), run)
    assert "no readable order" in (tmp_path / "failure.txt").read_text(encoding="utf-8")


def test_the_server_app_leaves_its_log_lines_as_progress(tmp_path: Path, order: Order) -> None:
    write_order(tmp_path, order)
    run = context({})
    run.run_config = {"out": str(tmp_path)}
    grid = MemoryGrid({1: {"outbox": str(tmp_path / "outbox"), "state": str(tmp_path)}})
    with pytest.raises(FederationError, match="holds no NAME"):
        server_app(grid, run)
    lines = (tmp_path / "progress.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "1 of 1 nodes are connected",
        "asked 1 hospital to hand over what they released, for at most 1800 s",
        "0 nodes handed something over, 1 refused, 0 did not answer",
    ]
    log_files = [
        handler.baseFilename
        for handler in logging.getLogger("aggregator").handlers
        if isinstance(handler, logging.FileHandler)
    ]
    assert log_files == []


def test_the_server_app_takes_no_order_from_a_relative_folder() -> None:
    with pytest.raises(FederationError, match="names no folder"):
        server_app(MemoryGrid({}), context({}))


def test_the_command_logs_the_steps_and_prints_the_table(
    tmp_path: Path, flower: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aggregator")
    flower(progress_txt="a step\n", table_txt="the table\n", round_json='{"epsilon": 0.4}\n')
    gdshare = typer.Typer()
    aggregate_command.register(gdshare)
    options = ["--superlink", "h:1", "--trust", str(tmp_path), "--out"]
    done = CliRunner().invoke(gdshare, [*options, str(tmp_path / "a")])
    table, page, following = done.stdout.splitlines()
    assert page == f"page: {tmp_path / 'a' / 'report.html'}"
    assert (table, caplog.messages) == ("the table", ["a step"])
    assert following.startswith(f"go on with  gdshare classify {tmp_path / 'a' / 'model'} FILM")
    done = CliRunner().invoke(gdshare, [*options, str(tmp_path / "b"), "--json"])
    assert json.loads(done.stdout) == {"epsilon": 0.4}
    done = CliRunner().invoke(gdshare, [*options, str(tmp_path / "c"), "--pooling", "vote"])
    assert done.exit_code == 2


def test_certificates_are_named_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.chdir(tmp_path)
    FlowerCli.connect(tmp_path / "home", SuperLinkAddress("h:1", False, Path("ca.pem")))
    written = (tmp_path / "home" / "config.toml").read_text(encoding="utf-8")
    assert f'root-certificates = "{tmp_path}/ca.pem"' in written


def test_missing_certificates_are_told_before_anything_is_written(
    tmp_path: Path, order: Order
) -> None:
    address = SuperLinkAddress("h:1", False, tmp_path / "ca.pem")
    with pytest.raises(UsageError, match=r"ca\.pem: is missing"):
        run_round(address, tmp_path / "out", order)
    assert not (tmp_path / "out" / "order.json").exists()


def test_a_round_whose_process_dies_is_submitted_again(
    tmp_path: Path,
    order: Order,
    flower: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its lock was seen, and is gone without a last word."""
    flower()
    runs: list[str] = []
    alive = iter([True, True, False, False])

    def start(_: FlowerCli, app: Path, config: dict[str, str]) -> str:
        runs.append(str(len(runs)))
        if len(runs) == 2:
            (Path(config["out"]) / "table.txt").write_text("the table", encoding="utf-8")
            (Path(config["out"]) / "round.json").write_text("{}", encoding="utf-8")
        return runs[-1]

    monkeypatch.setattr(FlowerCli, "start_run", start)
    monkeypatch.setattr(submit, "is_running", lambda _: next(alive, False))
    assert run_round(HERE, tmp_path / "out", order) == "the table"
    assert runs == ["0", "1"]
    assert "the process that ran the round died" in caplog.text


def test_a_round_goes_on_with_what_is_ordered_now(
    tmp_path: Path, order: Order, flower: Callable[..., list[str]]
) -> None:
    out = tmp_path / "out"
    flower(failure_txt="1 hospitals were admitted")
    with pytest.raises(FederationError, match="1 hospitals"):
        run_round(HERE, out, order)
    flower(table_txt="the table", round_json="{}")
    table = resume_round(HERE, out, lambda old: old.model_copy(update={"minimum": 1}))
    assert table == "the table"
    assert read_order(out).minimum == 1
    assert not (out / "failure.txt").exists()


def test_a_closed_round_is_only_shown_again(
    tmp_path: Path, order: Order, flower: Callable[..., list[str]]
) -> None:
    flower(table_txt="the table", round_json="{}")
    run_round(HERE, tmp_path / "out", order)
    flower(failure_txt="must not run")
    assert resume_round(HERE, tmp_path / "out", lambda old: old) == "the table"


def test_only_a_round_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="no readable order"):
        resume_round(HERE, tmp_path / "none", lambda old: old)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("hole", ["missing", "silent"])
def test_the_command_ends_with_3_where_hospitals_are_missing(
    tmp_path: Path, flower: Callable[..., list[str]], hole: str
) -> None:
    result = {"missing": [{"site": "east"}]} if hole == "missing" else {"silent": [7]}
    flower(table_txt="the table", round_json=json.dumps(result))
    gdshare = typer.Typer()
    aggregate_command.register(gdshare)
    words = ["--superlink", "h:1", "--trust", str(tmp_path), "--out", str(tmp_path / "a")]
    done = CliRunner().invoke(gdshare, words)
    assert done.exit_code == 3
    assert "the table" in done.stdout
