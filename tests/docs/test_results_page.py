"""The results page is short, begins with its summary, and has no figure the archive lacks."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
ARCHIVE = (DOCS / "results-archive.md").read_text(encoding="utf-8")
MOST_WORDS = 1500


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows that hold figures."""
    lines = [
        line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")
    ]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


def test_page_has_no_more_words_than_people_read():
    words = [word for word in PAGE.split() if re.search(r"\w", word)]  # the bars of tables are none
    assert len(words) <= MOST_WORDS


def test_summary_comes_before_any_section():
    assert PAGE.index("| question | figure | wanted | reached |") < PAGE.index("\n## ")


@pytest.mark.parametrize("number", sorted(set(re.findall(r"-?\d+\.\d+", PAGE))))
def test_every_figure_stands_in_the_archive_too(number: str):
    assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d])", ARCHIVE), number


def test_figures_of_the_summary_stand_in_its_sections_or_the_archive():
    summary, sections = PAGE.split("\n## ", 1)
    for row in rows(summary)[1:]:
        for number in re.findall(r"\d+\.\d+", row[1]):
            assert number in sections + ARCHIVE, row
