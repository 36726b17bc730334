"""The glossary: what a newcomer meets is explained, in order, and every guide leads there."""

import re
from pathlib import Path

import pytest

from hospital_node.count_record import FILE as COUNTS
from hospital_node.work import FILE as WORK

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
TERMS = re.findall(
    r"^\| (\*\*.+?) \|", (DOCS / "glossary.md").read_text(encoding="utf-8"), flags=re.M
)
WORDS = {word for term in TERMS for word in re.findall(r"\*\*(.+?)\*\*", term)}


def test_what_a_newcomer_meets_is_explained():
    met = {"I", "N", "P", "ε", "HM", "θ0", "bundle", "round", "admission", "cohort", "outbox"}
    met |= {"ledger", "policy", "protocol", "patch score", "quarantine", "receipt", "withdrawal"}
    assert met <= WORDS


def test_terms_are_in_order():
    first = [re.search(r"\*\*(.+?)\*\*", term)[1].casefold() for term in TERMS]
    assert first == sorted(first)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "method.md", *sorted(DOCS.glob("guide-*.md"))], ids=str
)
def test_every_guide_leads_there(page):
    assert "glossary.md)" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("guide", ["guide-site.md", "guide-upgrades.md"])
def test_backup_list_names_what_must_not_be_lost_or_set_back(guide):
    backups = (DOCS / guide).read_text(encoding="utf-8").split("## Backups")[1].split("\n## ")[0]
    table, restore = re.split("A restore must not set", backups)
    for name in ("ledger.jsonl`", ".jsonl.head`", "key"):
        assert name in table, name
    assert "ledger" in restore
    if guide == "guide-site.md":
        for name in ("store-identities.csv", COUNTS, WORK, "outbox-policies/"):
            assert name in table, name
        assert COUNTS in restore
