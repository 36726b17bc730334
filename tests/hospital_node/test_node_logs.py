"""The node's log options reach the process that answers."""

import os
from pathlib import Path

import pytest

from gdshare.logs import FILE_VARIABLE, LEVEL_VARIABLE, start_logging
from hospital_node import __main__ as node


def started_with(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, str]:
    """The environment of the SuperNode that the command becomes."""
    settings = folder / "node.toml"
    settings.write_text(f'outbox = "{folder}/outbox"\nstate = "{folder}/state"\n', encoding="utf-8")
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _, __, environment: environments.append(environment))
    monkeypatch.chdir(folder)
    node.main([str(settings), "--superlink", "h:1", *options])
    start_logging()
    [environment] = environments
    return environment


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="the log cannot be written"):
        started_with(tmp_path, monkeypatch, "--log-file", "missing/node.log")
