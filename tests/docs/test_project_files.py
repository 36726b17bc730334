"""What a public project has: how to cite it, and commands of its pages that are there."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from gdshare import __version__

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "preferred-citation", "references", "repository"),
    *("repository-artifact", "repository-code", "type", "url", "version"),
}
"""Keys of the Citation File Format 1.2.0."""


def _is_author(author: dict[str, str]) -> bool:
    """Whether it is a person or an entity, as the format knows them."""
    return set(author) in ({"family-names", "given-names"}, {"name"})


def test_citation_has_the_keys_of_its_format():
    assert CITATION["cff-version"] == "1.2.0"
    assert set(CITATION) >= REQUIRED
    assert set(CITATION) <= ALLOWED
    assert all(_is_author(author) for author in CITATION["authors"])


def test_citation_is_of_this_version_and_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert CITATION["version"] == project["version"] == __version__
    assert CITATION["license"] == project["license"]


def test_citation_names_the_paper_that_the_method_comes_from():
    [paper] = CITATION["references"]
    assert {"type", "title", "authors", "year", "conference"} <= set(paper)
    assert all(_is_author(author) for author in paper["authors"])
    families = [author["family-names"] for author in paper["authors"]]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f'{", ".join(families[:-1])} and {families[-1]}, "{paper["title"]}"' in readme


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_make_knows_every_target_that_the_page_names(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
