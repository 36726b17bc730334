"""The node's log: what an operator reads on stderr, and what a file keeps with times and levels."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdshare.errors import UsageError
from hospital_node.__main__ import write_runners
from hospital_node.logs import LOGGERS, log_arguments, log_options, start_log


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        for handler in logger.handlers[:]:
            handler.close()
            logger.removeHandler(handler)


def test_log_file_has_times_and_levels_and_stderr_the_bare_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_log("info", tmp_path / "node.log")
    logging.getLogger("hospital_node.outbox").info("handed over east-1")
    logging.getLogger("hospital_node.outbox").debug("not this")
    assert capsys.readouterr().err == "handed over east-1\n"
    line = (tmp_path / "node.log").read_text()
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO hospital_node\.outbox: handed over east-1\n", line
    )


def test_only_warnings_are_logged_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    options = log_options().parse_args([])
    start_log(options.log_level, options.log_file)
    logging.getLogger("hospital_node").info("a detail")
    logging.getLogger("hospital_node").warning("a warning")
    assert capsys.readouterr().err == "a warning\n"


def test_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        start_log("info", tmp_path / "missing" / "node.log")


def test_log_options_reach_the_process_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runners = write_runners(tmp_path, "info", Path("with blank.log"))
    line = (runners / "flwr-clientapp").read_text()
    path = tmp_path / "with blank.log"
    assert f"-m hospital_node.guard --log-level info --log-file '{path}' \"$@\"" in line
    options = log_options().parse_args(log_arguments("info", Path("with blank.log")))
    assert (options.log_level, options.log_file) == ("info", path)
