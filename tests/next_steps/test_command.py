"""A command line leaves out what ``gdshare.toml`` gives, and nothing else."""

from pathlib import Path

import pytest

from gdshare.next_steps import commands, spell

GIVEN = {"prepared": "prepared", "outbox": "outbox", "key": "keys/a.key", "site": "st-mary"}


def test_without_a_file_all_is_typed_and_what_nobody_knows_has_a_stand_in():
    command = commands.release(Path("prepared"), Path("out box"))
    assert spell(command) == "gdshare release prepared --outbox 'out box' --key SITE.key"


def test_what_the_file_gives_is_left_out():
    assert spell(commands.release(Path("prepared"), Path("outbox")), GIVEN) == "gdshare release"


def test_another_value_than_the_files_is_typed():
    command = commands.release(Path("prepared-2"), Path("outbox"))
    assert spell(command, GIVEN) == "gdshare release prepared-2"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"run": "run"}, "gdshare audit run cohort"),
        ({"cohort": "cohort"}, "gdshare audit run"),
        ({"run": "run", "cohort": "cohort"}, "gdshare audit"),
    ],
)
def test_argument_is_left_out_only_if_all_that_follow_are(given, told):
    assert spell(commands.audit(Path("run"), Path("cohort")), given) == told


def test_flag_is_typed_whatever_the_file_gives():
    assert spell(commands.outline(Path("store")), {"store": "store"}) == "gdshare label --serve"
    shown = spell(commands.distill(resume=True), {"cohort": "c", "run": "r"})
    assert shown == "gdshare distill --resume"
