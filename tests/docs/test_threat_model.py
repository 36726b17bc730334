"""The threat model's rows are complete, and the tests that they name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| attack |"))
]


def test_there_are_rows():
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_row_says_what_stops_the_attack_and_which_test_shows_it(row):
    attack, stop, test = row
    assert attack
    assert stop
    named = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", test)
    assert named, test
    text = (ROOT / named[1]).read_text(encoding="utf-8")
    assert re.search(rf"^def {named[2]}\(", text, re.MULTILINE)
