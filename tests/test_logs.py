"""People read the message; a log file has the time, the level and the module as well."""

import io
import logging
import re
import warnings
from pathlib import Path

import pytest

from gdshare.cli.main import main
from gdshare.errors import UsageError
from gdshare.logs import start_logging, start_logging_from

STAMPED = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ "
NOT_A_KEY = ["verify", "nowhere", "--key", "nowhere.pub"]


@pytest.fixture(autouse=True)
def _as_before():
    yield
    start_logging()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), capsys.readouterr().err


def test_terminal_shows_the_message_alone(capsys):
    start_logging()
    logging.getLogger("aggregator.round").info("collected %d bundles", 3)
    assert capsys.readouterr().err == "collected 3 bundles\n"


def test_file_name_that_is_no_text_is_logged(tmp_path):
    start_logging(file=tmp_path / "log")
    logging.getLogger("gdshare.store").warning("refused %s", "S\udcfcd.dcm")
    assert r"refused S\udcfcd.dcm" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),  # retitles the window
        ("\x9b2K", r"\x9b2K"),  # the same, in one character: erases the line
        ("\u202egnp.exe", r"\u202egnp.exe"),  # shown backwards
        ("a\n2026-01-01T00:00:00Z INFO released", r"a\n2026-01-01T00:00:00Z INFO released"),
        ("a\rb\tc\x00\x7f\u2028d", r"a\rb\tc\x00\x7f\u2028d"),
        ("\udcff", r"\udcff"),  # a byte of a file name that is not UTF-8
        ("胃 Magen желудок", "胃 Magen желудок"),
    ],
)
def test_what_a_message_quotes_cannot_steer_a_terminal_or_forge_a_line(
    tmp_path, capsys, hostile, shown
):
    start_logging(file=tmp_path / "log")
    logging.getLogger("gdshare.store").warning("refused %s", hostile)
    assert capsys.readouterr().err == f"refused {shown}\n"
    logged = (tmp_path / "log").read_text(encoding="utf-8")
    assert re.fullmatch(STAMPED + re.escape(f"WARNING gdshare.store: refused {shown}\n"), logged)


def test_traceback_neither_steers_a_terminal_nor_passes_for_a_line_of_the_log(tmp_path, capsys):
    start_logging(file=tmp_path / "log")
    try:
        raise ValueError("\x1b[2J\n2026-01-01T00:00:00Z INFO gdshare: released")
    except ValueError:
        logging.getLogger("gdshare.store").exception("a fault")
    for text in (capsys.readouterr().err, (tmp_path / "log").read_text(encoding="utf-8")):
        first, *traceback = text.splitlines()
        assert first.endswith("a fault")
        assert all(line.startswith("  ") for line in traceback)
        assert r"ValueError: \x1b[2J" in text
        assert "\x1b" not in text


def test_flower_prints_our_errors_escaped_too():
    start_logging()
    stream = io.StringIO()
    flower = logging.getLogger("flwr")
    handler = logging.StreamHandler(stream)
    flower.addHandler(handler)
    try:
        raise ValueError("\x1b]0;owned\x07")
    except ValueError:
        flower.exception("ServerApp failed: %s\nsee below", "\x1b[2J")
    finally:
        flower.removeHandler(handler)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("ServerApp failed: \\x1b[2J\nsee below\n")
    assert r"ValueError: \x1b]0;owned\x07" in stream.getvalue()


def test_warnings_of_other_libraries_are_escaped_too(capsys):
    start_logging()
    fields = {"name": "pydicom", "levelno": logging.WARNING, "msg": "an odd \x1b]0;owned\x07"}
    logging.lastResort.handle(logging.makeLogRecord(fields))
    assert capsys.readouterr().err == "an odd \\x1b]0;owned\\x07\n"
    shown = warnings.formatwarning("\x1b]0;owned\x07", UserWarning, "a.py", 7)
    assert shown == "a.py:7: UserWarning: \\x1b]0;owned\\x07\n"


def test_file_has_time_level_and_module(tmp_path, capsys):
    start_logging(file=tmp_path / "log")
    logging.getLogger("hospital_node.outbox").warning("no bundle")
    assert re.fullmatch(
        STAMPED + r"WARNING hospital_node\.outbox: no bundle\n",
        (tmp_path / "log").read_text(encoding="utf-8"),
    )
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_level_hides_what_is_below_it(tmp_path, capsys):
    start_logging("warning", tmp_path / "log")
    logging.getLogger("gdshare.store").info("one film")
    assert capsys.readouterr().err == ""
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""


def test_second_start_prints_nothing_twice(tmp_path, capsys):
    start_logging(file=tmp_path / "first")
    start_logging(file=tmp_path / "second")
    logging.getLogger("gdshare").info("once")
    assert capsys.readouterr().err == "once\n"
    assert (tmp_path / "first").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("behind", [True, False])
def test_refusal_of_a_command_is_logged_wherever_the_option_stands(tmp_path, capsys, behind):
    options = ["--log-file", str(tmp_path / "log")]
    words = [*NOT_A_KEY, *options] if behind else [*options, *NOT_A_KEY]
    status, shown = run(capsys, *words)
    assert status == 2
    assert shown.startswith("gdshare: nowhere.pub: cannot be read")
    logged = (tmp_path / "log").read_text(encoding="utf-8")
    assert re.match(STAMPED + "ERROR gdshare.cli.main: nowhere.pub: cannot be read", logged)
    assert "Traceback" not in logged


def test_environment_chooses_where_options_do_not(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GDSHARE_LOG_FILE", str(tmp_path / "by-environment"))
    run(capsys, *NOT_A_KEY)
    assert "nowhere.pub" in (tmp_path / "by-environment").read_text(encoding="utf-8")
    run(capsys, *NOT_A_KEY, f"--log-file={tmp_path / 'by-option'}")
    assert "nowhere.pub" in (tmp_path / "by-option").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--log-level", "loud"), "there is no log level 'loud'; choose one of debug, info"),
        (("--log-level",), "--log-level: needs a value"),
        (("--log-file", "no/such/folder/log"), "no/such/folder/log: the log cannot be written"),
    ],
)
def test_option_that_cannot_be_honoured_is_one_error(tmp_path, capsys, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    status, shown = run(capsys, "verify", *words)
    assert status == 2
    assert shown.startswith(f"gdshare: {reason}")
    assert shown.count("\n") == 1


def test_unknown_level_of_the_environment_is_refused():
    with pytest.raises(UsageError, match="no log level"):
        start_logging_from({"GDSHARE_LOG_LEVEL": "loud"})


def test_unwritable_file_leaves_the_log_as_it_was(tmp_path: Path, capsys):
    start_logging()
    with pytest.raises(UsageError):
        start_logging(file=tmp_path / "no" / "log")
    logging.getLogger("gdshare").info("still here")
    assert capsys.readouterr().err == "still here\n"


def test_terminal_that_cannot_be_written_stops_nobodys_work(monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            pass

    start_logging()
    monkeypatch.setattr("sys.stderr", Full())
    logging.getLogger("hospital_node.client_app").warning("refused")


def test_fault_that_a_node_survives_leaves_its_traceback_on_the_terminal(capsys):
    start_logging()
    try:
        raise KeyError("boom")
    except KeyError:
        logging.getLogger("hospital_node.client_app").exception("the request was not answered")
    shown = capsys.readouterr().err
    assert shown.startswith("gdshare: the request was not answered\n  Traceback")
    assert shown.rstrip().endswith("KeyError: 'boom'")


def test_empty_variables_are_unset_ones(capsys):
    start_logging_from({"GDSHARE_LOG_LEVEL": "", "GDSHARE_LOG_FILE": ""})
    logging.getLogger("gdshare").info("shown")
    assert capsys.readouterr().err == "shown\n"
