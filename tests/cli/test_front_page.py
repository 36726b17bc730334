"""The front page, suggestions, completion, ``gdshare node``, and exit statuses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_kit import gdshare

from gdshare import errors
from gdshare.bundle.errors import Altered, UnreadableBundle
from gdshare.cli import exit_status, main
from gdshare.cli.exit_status import FAULT, INTERRUPTED, OTHER_SIDE, REFUSED, USAGE, status_of
from gdshare.cli.main import PANELS
from gdshare.store.pacs.errors import AccessError, ResponseError

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide-site.md"


def test_every_command_stands_under_a_role():
    text = gdshare("--help").out
    at = [text.index(f"─ {panel} ─") for panel in PANELS]
    assert at == sorted(at)
    assert "─ Commands ─" not in text
    for (panel, names), start, end in zip(PANELS.items(), at, [*at[1:], len(text)], strict=True):
        for name in names:
            assert re.search(rf"│ {name} ", text[start:end]), (panel, name)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("relase",), "Did you mean one of: 'prepare', 'release'?"),
        (("keys", "nw"), "Did you mean 'new'?"),
        (("label", "--pach", "9"), "Did you mean '--patch'?"),
    ],
)
def test_what_was_meant_is_asked_once(words, told):
    ended = gdshare(*words)
    assert ended.status == USAGE
    assert told in ended.err
    assert ended.err.count("Did you mean") == 1


def test_shell_completes_commands():
    asked = {"_GDSHARE_COMPLETE": "complete_bash", "COMP_WORDS": "gdshare lab", "COMP_CWORD": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "gdshare"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["label"]


def test_node_takes_the_words_of_the_nodes_own_module(tmp_path):
    assert "usage: gdshare node" in gdshare("node", "--help").out
    words = (tmp_path / "none.toml", "--superlink", "127.0.0.1:9", "--insecure")
    ended = gdshare("node", *words)
    alone = subprocess.run(
        [sys.executable, "-m", "hospital_node", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.status, ended.err) == (alone.returncode, alone.stderr)
    assert ended.status == USAGE


def test_node_logs_where_it_is_told_on_either_side_of_the_word(tmp_path):
    words = ("node", tmp_path / "none.toml", "--superlink", "a:1", "--insecure")
    for number, order in enumerate((("--log-file", tmp_path / "0.log", *words), (*words,))):
        more = () if number == 0 else ("--log-file", tmp_path / "1.log")
        gdshare(*order, *more)
        assert "none.toml" in (tmp_path / f"{number}.log").read_text(encoding="utf-8")
    assert "GDSHARE_LOG_FILE" not in os.environ


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError, USAGE),
        (errors.FilmError, USAGE),
        (errors.CohortError, USAGE),
        (errors.RunError, USAGE),
        (errors.KeyFileError, USAGE),
        (UnreadableBundle, USAGE),
        (AccessError, USAGE),
        (errors.PolicyError, REFUSED),
        (errors.LedgerError, REFUSED),
        (errors.TrustError, REFUSED),
        (Altered, REFUSED),
        (errors.FederationError, OTHER_SIDE),
        (ResponseError, OTHER_SIDE),
    ],
)
def test_exit_status_says_whose_turn_it_is(error, status, monkeypatch):
    def fail(*_):
        raise error("is wrong", "something")

    assert status_of(error("is wrong")) == status
    monkeypatch.setattr(main, "build_app", fail)
    ended = gdshare("keys")
    assert (ended.status, ended.err) == (status, "gdshare: something: is wrong\n")


def test_fault_of_gdshare_has_a_status_of_its_own(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(main, "build_app", fail)
    ended = gdshare("keys")
    assert ended.status == FAULT == os.EX_SOFTWARE
    assert "a fault in gdshare itself" in ended.err


def test_ctrl_c_has_a_status_of_its_own(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "build_app", stop)
    assert gdshare("keys").status == INTERRUPTED


def test_guide_lists_the_statuses():
    table = re.findall(r"^\| (\d+) \| ", GUIDE.read_text(encoding="utf-8"), flags=re.M)
    assert table == ["0", *(str(s) for s in (USAGE, REFUSED, OTHER_SIDE, FAULT, INTERRUPTED))]
    for status in table:
        assert re.search(rf"^{status} ", exit_status.__doc__, flags=re.M)
