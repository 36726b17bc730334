"""The ledger: one test an attack or a fault."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from command_kit import gdshare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdshare.errors import LedgerError
from gdshare.ledger import Anchor, head_of, open_ledger, read_ledger

NOW = datetime(2026, 11, 22, 9, 30, 15, 123456, tzinfo=UTC)
DIGEST = "ab" * 32
ACTS = ("prepare", "approve", "release", "withdraw")


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for entry in ACTS:
        write_act(path, NOW, entry, "A. Officer", "st-mary-3", DIGEST, "the study of 2026")
    return path


def write_act(path, now, act, by, what, digest, why):
    with open_ledger(path) as book:
        return book.write(now, act, by, what, digest, why)


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_acts_are_read_back_as_they_were_written(ledger):
    entries = read_ledger(ledger)
    assert [entry.act for entry in entries] == list(ACTS)
    assert [entry.number for entry in entries] == [1, 2, 3, 4]
    first = entries[0]
    assert (first.by, first.what, first.digest) == ("A. Officer", "st-mary-3", DIGEST)
    assert first.at == NOW.replace(microsecond=0)
    assert first.before == "0" * 64


def test_form_is_pinned(ledger):
    assert lines(ledger)[0].decode() == (
        '{"act":"prepare","at":"2026-11-22T09:30:15Z","before":"'
        + "0" * 64
        + '","by":"A. Officer",'
        '"digest":"' + DIGEST + '","number":1,"what":"st-mary-3","why":"the study of 2026"}\n'
    )
    last = hashlib.sha256(lines(ledger)[-1].rstrip(b"\n")).hexdigest()
    assert head_file(ledger).read_text(encoding="utf-8") == f"4 {last}\n"


def head_file(ledger):
    return ledger.with_name("ledger.jsonl.head")


def test_it_is_for_its_owner_alone(ledger):
    assert ledger.stat().st_mode & 0o777 == 0o600
    assert head_file(ledger).stat().st_mode & 0o777 == 0o600


def test_ledger_that_is_not_there_is_empty(tmp_path):
    assert read_ledger(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("number", range(4))
def test_altered_line_is_found(ledger, number):
    told = lines(ledger)
    told[number] = told[number].replace(b"A. Officer", b"B. Officer")
    ledger.write_bytes(b"".join(told))
    with pytest.raises(LedgerError, match=r"altered|not the one that was there"):
        read_ledger(ledger)


@pytest.mark.parametrize("number", range(4))
def test_line_taken_out_is_found(ledger, number):
    told = lines(ledger)
    del told[number]
    ledger.write_bytes(b"".join(told))
    with pytest.raises(LedgerError, match=r"taken out|cut short"):
        read_ledger(ledger)


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_end_cut_off_is_found(ledger, keep):
    ledger.write_bytes(b"".join(lines(ledger)[:keep]))
    with pytest.raises(LedgerError, match=rf"cut short: line 4 was there, and there are {keep}"):
        read_ledger(ledger)


def test_lines_that_changed_places_are_found(ledger):
    one, two, three, four = lines(ledger)
    ledger.write_bytes(one + three + two + four)
    with pytest.raises(LedgerError, match="line 2 does not follow"):
        read_ledger(ledger)


def test_line_added_by_hand_is_found_though_it_fits_the_chain(ledger, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_bytes(ledger.read_bytes())
    (tmp_path / "other.jsonl.head").write_bytes(head_file(ledger).read_bytes())
    for _ in range(2):
        write_act(other, NOW, "release", "nobody", "st-mary-4", DIGEST, "")
    ledger.write_bytes(other.read_bytes())
    with pytest.raises(LedgerError, match="its head knows only line 4"):
        read_ledger(ledger)


def test_rewritten_ledger_with_its_head_is_found_by_an_anchor_elsewhere(ledger, tmp_path):
    anchor = head_of(read_ledger(ledger))
    ledger.unlink()
    head_file(ledger).unlink()
    for entry in ACTS:
        write_act(ledger, NOW, entry, "Somebody else", "st-mary-3", DIGEST, "")
    read_ledger(ledger)
    with pytest.raises(LedgerError, match="line 4 is not the one that was there"):
        read_ledger(ledger, [anchor])


def test_ledger_deleted_with_its_head_is_found_by_an_anchor_elsewhere(ledger):
    anchor = head_of(read_ledger(ledger))
    ledger.unlink()
    head_file(ledger).unlink()
    with pytest.raises(LedgerError, match="cut short"):
        read_ledger(ledger, [anchor])


def test_anchor_of_an_earlier_line_still_holds_after_more_are_added(ledger):
    anchor = head_of(read_ledger(ledger))
    write_act(ledger, NOW, "release", "A. Officer", "st-mary-4", None, "")
    assert len(read_ledger(ledger, [anchor])) == 5


def test_missing_head_is_found(ledger):
    head_file(ledger).unlink()
    with pytest.raises(LedgerError, match=r"its head, ledger\.jsonl\.head, is missing"):
        read_ledger(ledger)


def test_nothing_is_added_to_a_damaged_ledger(ledger):
    told = lines(ledger)
    ledger.write_bytes(b"".join(told[:2]))
    before = ledger.read_bytes()
    with pytest.raises(LedgerError, match="cut short"):
        write_act(ledger, NOW, "release", "A. Officer", "st-mary-4", DIGEST, "")
    assert ledger.read_bytes() == before


def test_piece_of_a_line_that_a_kill_left_is_cut_off_by_the_next_writer(ledger):
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'{"act":"rel')
    assert len(read_ledger(ledger)) == 4
    write_act(ledger, NOW, "release", "A. Officer", "st-mary-4", DIGEST, "")
    assert len(read_ledger(ledger)) == 5
    assert ledger.read_bytes().startswith(whole)


def test_kill_between_a_line_and_its_head_leaves_a_sound_ledger(ledger):
    head = head_file(ledger).read_bytes()
    write_act(ledger, NOW, "release", "A. Officer", "st-mary-4", DIGEST, "")
    head_file(ledger).write_bytes(head)
    assert len(read_ledger(ledger)) == 5
    write_act(ledger, NOW, "release", "A. Officer", "st-mary-5", DIGEST, "")
    assert len(read_ledger(ledger)) == 6


def test_kill_after_the_first_line_leaves_a_sound_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    write_act(path, NOW, "release", "A. Officer", "st-mary-1", DIGEST, "")
    head_file(path).unlink()
    assert len(read_ledger(path)) == 1


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gdshare.ledger import open_ledger
for number in range(int(sys.argv[2])):
    with open_ledger(Path(sys.argv[1])) as book:
        book.write(datetime.now(UTC), "release", "w", f"a-{number}", None, "")
    print(number, flush=True)
"""


def test_two_writers_at_once_leave_one_chain(tmp_path):
    path = tmp_path / "ledger.jsonl"
    words = [sys.executable, "-c", WRITER, str(path), "15"]
    writers = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(read_ledger(path)) == 30


def test_kill_9_at_any_moment_leaves_a_sound_ledger_with_all_that_was_promised(tmp_path):
    path = tmp_path / "ledger.jsonl"
    promised = 0
    for turn in range(5):
        words = [sys.executable, "-c", WRITER, str(path), "1000"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
            for line in writer.stdout:
                promised += 1
                if int(line) == 3 + turn:
                    os.kill(writer.pid, signal.SIGKILL)
                    break
            promised += len(writer.stdout.read().split())
    assert promised >= 25
    assert promised <= len(read_ledger(path)) <= promised + 5


@pytest.mark.parametrize(
    "told",
    [
        {"act": "Release"},
        {"by": ""},
        {"by": "two\nlines"},
        {"why": "x" * 1001},
        {"digest": "AB" * 32},
        {"what": "\x1b[2J"},
    ],
)
def test_what_is_no_act_is_refused_and_changes_nothing(ledger, told):
    before = ledger.read_bytes()
    good = {"act": "release", "by": "a", "what": "b", "digest": None, "why": ""}
    with pytest.raises(LedgerError, match="the ledger does not allow"):
        write_act(ledger, NOW, **(good | told))
    assert ledger.read_bytes() == before


def test_full_disk_is_one_plain_error_and_leaves_a_sound_ledger(ledger, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(LedgerError, match="No space left on device"):
            write_act(ledger, NOW, "release", "A. Officer", "st-mary-4", DIGEST, "")
    assert len(read_ledger(ledger)) == 4


def test_folder_that_cannot_be_made_is_one_plain_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be written"):
        write_act(tmp_path / "file" / "ledger.jsonl", NOW, "release", "a", "b", None, "")


def test_acts_written_one_after_another_under_one_lock_are_chained(ledger):
    with open_ledger(ledger) as book:
        for number in range(3):
            book.write(NOW, "admit", "a", f"b-{number}", None, "")
        assert [entry.number for entry in book.entries] == list(range(1, 8))
    assert len(read_ledger(ledger)) == 7


def test_line_that_could_be_written_in_another_way_is_refused(ledger):
    told = lines(ledger)
    told[0] = json.dumps(json.loads(told[0])).encode() + b"\n"
    ledger.write_bytes(b"".join(told))
    with pytest.raises(LedgerError, match="line 1 was written by another program"):
        read_ledger(ledger)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), piece=st.binary(max_size=5), gone=st.integers(0, 5))
def test_any_change_of_any_piece_is_found_or_none(ledger, tmp_path, place, piece, gone):
    whole = ledger.read_bytes()
    begin = int(place * len(whole))
    path = tmp_path / "changed.jsonl"
    path.write_bytes(whole[:begin] + piece + whole[begin + gone :])
    path.with_name("changed.jsonl.head").write_bytes(head_file(ledger).read_bytes())
    try:
        entries = read_ledger(path)
    except LedgerError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - either is right
    else:
        assert entries == read_ledger(ledger)


def test_command_verifies_and_prints_the_anchor_that_it_takes(ledger):
    verify = ("ledger", "verify", ledger)
    anchor = gdshare(*verify, check=True).out.split()[-1]
    held_to = json.loads(gdshare(*verify, "--anchor", anchor, "--json", check=True).out)
    assert held_to == {"lines": 4, "sha256": anchor.split(":")[1]}
    status, _, err = gdshare(*verify, "--anchor", f"4:{'0' * 64}")
    assert status == 3
    assert "line 4 is not the one that was there" in err


def test_command_shows_all_acts(ledger):
    shown = json.loads(gdshare("ledger", "show", ledger, "--json").out)
    assert [entry["act"] for entry in shown] == list(ACTS)


def test_markup_in_a_line_is_shown_as_it_is(ledger):
    write_act(ledger, NOW, "refuse", "a", "[/x]", None, "ExtraFile: [black on black]hidden[/]")
    shown = gdshare("ledger", "show", ledger, check=True).out
    assert "[/x]" in shown
    assert "[black on" in shown


@pytest.mark.parametrize("told", ["a\u009b2J", "a\u202eb", "a\u2028b"])
def test_characters_that_steer_a_terminal_are_no_part_of_a_line(ledger, told):
    with pytest.raises(LedgerError, match="steer a terminal"):
        write_act(ledger, NOW, "release", told, "b", None, "")


def test_longest_line_that_is_written_is_read(ledger):
    long = "\N{GRINNING FACE}" * 1000
    write_act(ledger, NOW, "release", long, long, DIGEST, long)
    assert len(read_ledger(ledger)) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.jsonl"], "no such ledger"),
        (["{ledger}", "--anchor", "4"], "not an anchor; give NUMBER:SHA256"),
        (["{ledger}", "--anchor", "0:" + "0" * 64], "not an anchor; give NUMBER:SHA256"),
    ],
)
def test_command_that_cannot_be_meant_is_refused(ledger, words, told):
    status, _, err = gdshare("ledger", "verify", *(word.format(ledger=ledger) for word in words))
    assert status == 2
    assert told in err


def test_anchor_before_the_first_line_is_no_anchor(ledger):
    with pytest.raises(LedgerError):
        read_ledger(ledger, [Anchor(0, "0" * 64)])
