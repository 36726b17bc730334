"""Nobody waits in silence: lines in a pipe, a bar on a terminal."""

import io
import logging
import time
from itertools import pairwise

import pytest

from gdshare import progress as module
from gdshare.progress import SELDOM_S, Lines, bar, lines, progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def spoken():
    """A clock to move, lines about films, and what they said."""
    clock, said = Clock(), []
    return clock, Lines("labelling films", said.append, clock), said


def work(clock, speaker, films, seconds_each):
    for number in range(1, films + 1):
        clock.now += seconds_each
        speaker.report(number, films)
    speaker.end()


def test_work_of_two_seconds_says_nothing(spoken):
    clock, speaker, said = spoken
    work(clock, speaker, films=19, seconds_each=0.1)
    assert said == []


def test_every_ten_films_are_a_line_with_the_time_left(spoken):
    clock, speaker, said = spoken
    work(clock, speaker, films=40, seconds_each=0.5)
    assert said == [
        "labelling films: 10 of 40, 0:05, about 0:15 left",
        "labelling films: 20 of 40, 0:10, about 0:10 left",
        "labelling films: 30 of 40, 0:15, about 0:05 left",
        "labelling films: 40 of 40, done after 0:20",
    ]


def test_every_slow_film_is_a_line(spoken):
    clock, speaker, said = spoken
    work(clock, speaker, films=3, seconds_each=13)
    assert [line.split(",")[0] for line in said[:3]] == [
        "labelling films: 1 of 3",
        "labelling films: 2 of 3",
        "labelling films: 3 of 3",
    ]


def test_lines_grow_rarer_but_never_rarer_than_half_a_minute(spoken):
    clock, speaker, _ = spoken
    times = []
    speaker._say = lambda line: times.append(clock.now)
    work(clock, speaker, films=36_000, seconds_each=0.1)
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) < 250, "an hour of work"
    assert max(gaps) <= SELDOM_S + 0.2


def test_film_that_takes_minutes_does_not_fall_silent(spoken):
    clock, speaker, said = spoken
    speaker.report(1, 9, "loss 0.5")
    clock.now = SELDOM_S
    speaker.beat()
    assert said == ["labelling films: 1 of 9, 0:30, about 4:00 left, loss 0.5"]
    clock.now += SELDOM_S - 1
    speaker.beat()
    assert len(said) == 1


def test_work_that_reports_nothing_is_heard_of_too(spoken):
    clock, speaker, said = spoken
    clock.now = 3700
    speaker.beat()
    speaker.end()
    assert said == [
        "labelling films: for 1:01:40 now",
        "labelling films: done after 1:01:40",
    ]


def test_watcher_speaks_while_the_work_is_silent(monkeypatch):
    monkeypatch.setattr(module, "FIRST_S", 0.01)
    monkeypatch.setattr(module, "SELDOM_S", 0.02)
    said = []
    with lines("querying the PACS", said.append):
        end = time.monotonic() + 10
        while not said and time.monotonic() < end:
            time.sleep(0.01)
    assert said[0].startswith("querying the PACS: for 0:00 now")


def test_failed_work_is_not_called_done(monkeypatch):
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    said = []

    def fail():
        with lines("importing films", said.append) as report:
            report(10, 20)
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert not [line for line in said if "done" in line]


def test_in_a_pipe_lines_go_to_the_log(monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    with caplog.at_level(logging.INFO), progress("reading films") as report:
        report(10, 20)
    assert caplog.messages[0].startswith("reading films: 10 of 20")


def test_on_a_terminal_there_is_a_bar_and_no_line(monkeypatch, caplog):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    with caplog.at_level(logging.INFO), progress("reading films") as report:
        report(7, 10, "loss 0.5")
    assert "7/10" in screen.getvalue()
    assert "loss 0.5" in screen.getvalue()
    assert caplog.messages == []


def test_hidden_work_shows_nothing(monkeypatch, caplog):
    monkeypatch.setattr(module, "FIRST_S", 0.0)
    with caplog.at_level(logging.INFO), progress("distilling", hidden=True) as report:
        report(10, 10)
    assert caplog.messages == []


def test_bar_of_several_tasks_needs_no_terminal():
    with bar() as shown:
        assert shown.disable


def test_time_left_is_of_the_part_that_is_at_work(spoken):
    clock, speaker, said = spoken
    for done, total, seconds in ((100, 100, 50), (1, 400, 2), (11, 400, 20), (400, 400, 700)):
        clock.now += seconds
        speaker.report(done, total)
    speaker.end()
    assert said == [
        "labelling films: 1 of 400, 0:52, about 13:18 left",
        "labelling films: 11 of 400, 1:12, about 12:58 left",
        "labelling films: 400 of 400, done after 12:52",
    ]
