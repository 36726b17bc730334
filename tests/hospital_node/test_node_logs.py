"""The node's log options reach the process that answers."""

import os
import signal
from pathlib import Path

import pytest

from gdshare.logs import FILE_VARIABLE, LEVEL_VARIABLE, start_logging
from hospital_node import __main__ as node


def started_with(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, str]:
    """The environment that the answering process inherits."""
    settings = folder / "node.toml"
    settings.write_text(f'outbox = "{folder}/outbox"\nstate = "{folder}/state"\n', encoding="utf-8")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.chdir(folder)
    words = ("--superlink", "127.0.0.1:1", "--insecure", "--max-wait-time", "0")
    with pytest.raises(SystemExit):
        node.main([str(settings), *words, *options])
    start_logging()
    return dict(os.environ)


def test_log_options_are_inherited_with_the_files_path_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--log-level", "debug", "--log-file", "with blank.log")
    environment = started_with(tmp_path, monkeypatch, *options)
    assert environment[LEVEL_VARIABLE] == "debug"
    assert environment[FILE_VARIABLE] == str(tmp_path / "with blank.log")


def test_log_variables_stay_as_they_are_without_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "warning")
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    environment = started_with(tmp_path, monkeypatch)
    assert environment[LEVEL_VARIABLE] == "warning"
    assert FILE_VARIABLE not in environment


def test_log_file_that_cannot_be_written_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started_with(tmp_path, monkeypatch, "--log-file", "missing/node.log")
    assert "the log cannot be written" in capsys.readouterr().err
