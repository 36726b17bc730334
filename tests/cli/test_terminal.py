"""Names of files, films, sites and keys, and text of headers, never steer the terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_kit import Ended, gdshare
from dicom_kit import gradient, radiograph, save
from store_kit import small_store

from gdshare.cli.terminal import ask, print_json, print_line, print_table
from gdshare.progress import progress

HOSTILE = "a\x1b]0;owned\x07\x9b2K\u202e\n\x7f\udcff"
"""Retitles the window, erases the line, turns the text round, begins a new line, is not UTF-8."""
ESCAPED = r"a\x1b]0;owned\x07\x9b2K\u202e\n\x7f\udcff"


def harmless(ended: Ended) -> str:
    """All that a command printed, free of control characters."""
    text = ended.out + ended.err
    left = {character for character in text if not character.isprintable()} - {"\n"}
    assert not left, text
    assert f"\n{HOSTILE.partition(chr(10))[2]}" not in text
    return text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "a passphrase")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("phantom", HOSTILE),
        ("import", HOSTILE, "--out", "store"),
        ("import", ".", "--out", "store", "--mask-boxes", HOSTILE),
        ("import", "--out", "store", "--dicomweb", f"http://{HOSTILE}/"),
        ("review", HOSTILE),
        ("outline", HOSTILE, "--film", HOSTILE, "--out", "mask.png"),
        ("label", HOSTILE, "--out", "cohort"),
        ("label", "labels.csv", "--out", "cohort", "--split", HOSTILE),
        ("label", HOSTILE, "--serve"),
        ("distill", HOSTILE, "--out", "run"),
        ("distill", "cohort", "--out", "run", "--network", HOSTILE),
        ("audit", HOSTILE, "--cohort", HOSTILE),
        ("keys", "new", "--name", HOSTILE),
        ("keys", "show", HOSTILE),
        ("keys", HOSTILE),
        ("prepare", HOSTILE, "--site", HOSTILE, "--out", "prepared"),
        ("approve", HOSTILE, "--key", HOSTILE),
        ("release", HOSTILE, "--key", HOSTILE, "--outbox", HOSTILE),
        ("publish", HOSTILE, "--site", HOSTILE, "--key", HOSTILE, "--outbox", HOSTILE),
        ("withdraw", HOSTILE, "--key", HOSTILE, "--outbox", HOSTILE),
        ("verify", HOSTILE, "--key", HOSTILE),
        ("seal", HOSTILE, "--to", HOSTILE),
        ("unseal", HOSTILE, "--key", HOSTILE),
        ("ledger", "verify", HOSTILE),
        ("ledger", "show", HOSTILE),
        ("train", HOSTILE, "--out", HOSTILE),
        ("evaluate", HOSTILE, HOSTILE),
        ("classify", HOSTILE, HOSTILE),
        ("trust", "add", HOSTILE),
        ("trust", "revoke", HOSTILE),
        ("aggregate", "--trust", HOSTILE, "--out", HOSTILE, "--name", HOSTILE),
        ("demo", "--seed", HOSTILE),
        (HOSTILE,),
        ("verify", f"--{HOSTILE}"),
        ("verify", "--log-level", HOSTILE),
        ("verify", "--log-file", f"{HOSTILE}/log"),
        ("--debug", "verify", HOSTILE, "--key", HOSTILE),
    ],
    ids=lambda words: " ".join(words)[:20].replace(HOSTILE, "NAME"),
)
def test_refused_command_prints_nothing_that_steers_the_terminal(folder, words):
    ended = gdshare(*words)
    assert ended.status
    harmless(ended)


def test_film_folder_and_store_of_hostile_names_are_printed_escaped(folder):
    films = folder / HOSTILE
    films.mkdir()
    patient = {"PatientID": "4711", "PatientName": "DOE^JANE\x1b]0;owned\x07"}
    save(radiograph(gradient(), **patient), films / f"{HOSTILE}.dcm")
    (films / f"{HOSTILE}-cut.dcm").write_bytes(bytes(128) + b"DICM\x1b]0;owned\x07")
    store = folder / f"{HOSTILE}-store"
    text = harmless(gdshare("import", films, "--out", store, check=True))
    assert f"{ESCAPED}-cut.dcm" in text
    assert f"{ESCAPED}-store" in text
    harmless(gdshare("review", store, check=True))
    harmless(gdshare("label", store, "--out", folder / f"{HOSTILE}-cohort"))


@pytest.mark.filterwarnings("ignore:Invalid value")  # of pydicom, while the film is written
@pytest.mark.parametrize("keyword", ["SOPClassUID", "PhotometricInterpretation", "Modality"])
def test_header_text_is_printed_escaped_or_not_at_all(folder, keyword):
    (folder / "films").mkdir()
    dataset = radiograph(gradient())
    setattr(dataset, keyword, "\x1b]0;x\x07")
    save(dataset, folder / "films" / "film.dcm")
    assert "store: files by outcome" in harmless(gdshare("import", "films", "--out", "store"))


def test_cohort_of_a_hostile_name_is_made_and_printed_escaped(folder):
    hostile, shown = HOSTILE.removesuffix("\udcff"), ESCAPED.removesuffix(r"\udcff")
    films, cohort = folder / f"{hostile}-films", folder / HOSTILE
    text = harmless(
        gdshare(
            "phantom",
            "--out",
            films,
            "--size",
            "128",
            "--negatives",
            "3",
            "--positives",
            "3",
            check=True,
        )
    )
    assert shown in text
    geometry = ("--patch", "20", "--stride", "10", "--side", "16")
    text = harmless(gdshare("label", films / "labels.csv", "--out", cohort, *geometry, check=True))
    assert f"{ESCAPED}: patients, films and windows" in text


def test_name_that_is_not_utf_8_where_it_must_be_written_is_one_plain_error(folder):
    films = folder / HOSTILE
    gdshare("phantom", "--out", films, "--size", "128", "--positives", "3", check=True)
    geometry = ("--patch", "20", "--stride", "10", "--side", "16")
    ended = gdshare("label", films / "labels.csv", "--out", folder / "cohort", *geometry)
    assert (ended.status, ended.out) == (2, "")
    assert "has a name that is not UTF-8" in harmless(ended)
    assert not (folder / "cohort").exists()


def test_key_of_a_hostile_name_is_made_and_printed_escaped(folder):
    assert ESCAPED in harmless(
        gdshare("keys", "new", "--name", "north", "--out", HOSTILE, check=True)
    )


def test_hostile_name_leaves_json_valid(folder):
    store = small_store(folder / HOSTILE)
    (folder / "films").mkdir()
    (folder / "films" / f"{HOSTILE}.dcm").write_bytes(bytes(128) + b"DICM\x1b")
    ended = gdshare("import", "films", "--out", folder / f"{HOSTILE}-2", "--json")
    harmless(ended)
    assert json.loads(ended.out)["refused"][0]["file"] == f"films/{HOSTILE}.dcm"
    assert json.loads(gdshare("review", store.path, "--json", check=True).out) == []
    ended = gdshare("verify", HOSTILE, "--key", HOSTILE, "--json")
    harmless(ended)
    assert json.loads(ended.out)["verified"] is False


def test_every_way_to_print_escapes(capsys):
    print_line(HOSTILE)
    assert capsys.readouterr().out == f"{ESCAPED}\n"
    print_table(HOSTILE, ("film",), [[HOSTILE]])
    assert capsys.readouterr().out.count(ESCAPED) == 2
    print_json({"file": HOSTILE})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"file": HOSTILE}
    assert printed.isascii()
    assert "\x7f" not in printed


def test_question_is_escaped(monkeypatch):
    asked = []
    monkeypatch.setattr("typer.prompt", lambda text, **options: asked.append(text) or "answer")
    assert ask(f"digest of {HOSTILE}") == "answer"
    assert asked == [f"digest of {ESCAPED}"]


def test_progress_is_escaped_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress(HOSTILE) as report:
        report(1, 1)
    assert ESCAPED in capsys.readouterr().err


@pytest.mark.parametrize("module", ["gdshare.bundle", "hospital_node"])
@pytest.mark.parametrize("words", [(), ("verify", "bundle", "--key", "k", "--superlink", "s")])
def test_other_entry_points_escape_their_usage_errors_and_refusals(tmp_path, module, words):
    options = {"gdshare.bundle": "--key", "hospital_node": "--superlink"}
    start = ("verify", HOSTILE) if module == "gdshare.bundle" else (HOSTILE,)
    command = [sys.executable, "-m", module, *start, *words, options[module], HOSTILE]
    result = subprocess.run(
        [os.fsencode(word) for word in command], capture_output=True, cwd=tmp_path, check=False
    )
    assert result.returncode
    text = result.stderr.decode()
    assert not {char for char in text if not char.isprintable()} - {"\n"}, text


def test_name_that_is_not_utf_8_is_printed_by_the_real_command(tmp_path):
    path = Path(f"{tmp_path}/{HOSTILE}")
    command = [sys.executable, "-m", "gdshare", "verify", path, "--key", "nowhere.pub"]
    result = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert b"\x1b" not in result.stderr
    assert result.stderr.count(b"\n") == 1
