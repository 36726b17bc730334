"""Nothing depends on where it runs: folder, locale, terminal, umask, time zone, account."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest
from bundle_run_kit import PASSPHRASE
from dicom_kit import gradient, radiograph, save
from process_kit import environment

from gdshare.cli.operator import operator_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("gdshare", "aggregator", "hospital_node")

RUN_ALL = """
import sys
from gdshare.cli.main import main
for line in "\\n".join(sys.argv[1:]).split("\\n;\\n"):
    words = line.split("\\n")
    try:
        main(words)
    except SystemExit as left:
        if left.code:
            sys.exit(f"{words}: {left.code}")
"""


def opens_text_by_the_locale(call: ast.Call) -> bool:
    """Whether a call of a Path's reads or writes text without saying in which encoding."""
    if not isinstance(call.func, ast.Attribute):
        return False
    mode = call.args[0] if call.args else None
    match call.func.attr:
        case "read_text":
            positional = 0
        case "write_text":
            positional = 1
        case "open" if mode is None or (isinstance(mode, ast.Constant) and _of_text(mode.value)):
            positional = 2
        case _:
            return False
    named = "encoding" in {keyword.arg for keyword in call.keywords}
    return not named and len(call.args) <= positional


def _of_text(mode: object) -> bool:
    return isinstance(mode, str) and set(mode) <= set("rwax+t")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("path.open()", True),
        ("path.open('w', newline='')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.open('rb')", False),
        ("Image.open(path)", False),
        ("path.read_bytes()", False),
    ],
)
def test_call_that_leaves_the_encoding_to_the_locale_is_told_from_others(text, found):
    assert opens_text_by_the_locale(ast.parse(text, mode="eval").body) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_text_is_in_utf_8_under_every_locale(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    left = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text_by_the_locale(node)
    ]
    assert left == []


def test_commands_run_in_any_folder_and_on_any_terminal(tmp_path):
    """A long path with blanks and umlauts, a file name of other bytes, a terminal of Latin-1."""
    place = tmp_path / os.fsdecode("Klinikum Süd, Abteilung für Röntgen, ".encode() + b"-" * 60)
    films, key = place / "films", place / "keys" / "st-mary.key"
    films.mkdir(parents=True)
    save(radiograph(gradient(), SamplesPerPixel=3), films / os.fsdecode(b"S\xfcd.dcm"))
    save(radiograph(gradient()), films / "one that is imported.dcm")
    size = ("--size", 128, "--negatives", 15, "--positives", 15)
    grid = ("--patch", 16, "--stride", 8, "--side", 8, "--split", "0.34,0.33,0.33")
    short = ("--network", "convnet", "--outer-steps", 2, "--score-inits", 1)
    walk = [
        ("import", films, "--out", place / "store", "--json"),
        ("import", films, "--out", place / "store"),
        ("classify", "--help"),
        ("phantom", "--out", place / "drawn", *size),
        ("label", place / "drawn" / "labels.csv", "--out", place / "cohort", *grid),
        ("distill", place / "cohort", "--out", place / "run", *short),
        ("keys", "new", "--name", "st-mary", "--out", key.parent),
        (
            *("publish", place / "run", "--key", key, "--outbox", place / "outbox"),
            *("--site", "st-mary", "--at-chance"),
        ),
        ("verify", place / "outbox" / "st-mary-1", "--key", key.with_suffix(".pub")),
        ("ledger", "show", place / "outbox-ledger.jsonl"),
    ]
    words = [str(word) for command in walk for word in (*command, ";")][:-1]
    surroundings = environment(
        LC_ALL="C",
        PYTHONIOENCODING="latin-1:strict",
        TZ="Pacific/Chatham",
        HOME=str(place),
        TMPDIR=str(place),
        GDSHARE_PASSPHRASE=PASSPHRASE,
    )
    run = subprocess.run(
        [sys.executable, "-c", RUN_ALL, *words],
        cwd=place,
        env=surroundings,
        umask=0o077,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    shown = run.stdout.decode("latin-1").splitlines()
    assert any(r"S\udcfcd.dcm" in line for line in shown)
    assert any(r"\u03b5 of Eq. 4" in line for line in shown)
    next_commands = [line for line in shown if line.startswith("go on with  ")]
    table = os.fsencode(place / "drawn" / "labels.csv").decode("utf-8", "surrogateescape")
    quoted = quote(table).encode("latin-1", "backslashreplace").decode("latin-1")
    assert any(f"gdshare label {quoted}" in line for line in next_commands)


def test_account_without_a_login_name_is_named_by_its_number(monkeypatch):
    """As in containers that run under any number."""

    def unknown(number):
        raise KeyError(number)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert operator_name() == f"user {os.getuid()}"
    assert operator_name("A. Officer") == "A. Officer"
